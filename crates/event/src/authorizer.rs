//! Events and responses of an API Gateway Lambda authorizer: REST APIs (`TOKEN` and `REQUEST`) and HTTP APIs (payload 1.0 and 2.0).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use riskgate_config::step_up::AuthorizerResponse;
use riskgate_engine::personal::Personal;

/// The principal of a request without a verified token.
const UNKNOWN_PRINCIPAL: &str = "unknown";

/// A request to an API, which the authorizer allows or denies.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthorizerRequest {
    /// The API that was called.
    pub api: Api,
    /// The ARN of the called method.
    resource: SmolStr,
    /// The token, without its scheme.
    pub token: Option<Personal<String>>,
}

/// The kind of API. It decides which responses a client can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// A REST API: a policy, or the error `Unauthorized` for status 401.
    Rest,
    /// An HTTP API with payload 1.0: a policy.
    HttpPayload1,
    /// An HTTP API with payload 2.0: a policy or `isAuthorized`.
    HttpPayload2,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Authorization {
    /// Whether the request is allowed.
    pub is_allowed: bool,
    /// The verified user. Only API Gateway and the API behind it receive it.
    pub principal: Option<Personal<SmolStr>>,
    /// Values for the API and for gateway responses: `$context.authorizer.NAME`.
    pub context: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    version: Option<Value>,
    method_arn: Option<String>,
    route_arn: Option<String>,
    authorization_token: Option<String>,
    headers: Option<Map<String, Value>>,
}

/// Parses the event of an authorizer; `None` for any other event.
pub fn parse(text: &str) -> Option<AuthorizerRequest> {
    let wire: Wire = serde_json::from_str(text).ok()?;
    let is_http = wire.version.as_ref().and_then(Value::as_str);
    let (api, resource) = match (wire.kind.as_str(), is_http, wire.route_arn, wire.method_arn) {
        ("REQUEST", Some("2.0"), Some(arn), _) => (Api::HttpPayload2, arn),
        ("REQUEST", Some("1.0"), _, Some(arn)) => (Api::HttpPayload1, arn),
        ("TOKEN" | "REQUEST", None, _, Some(arn)) => (Api::Rest, arn),
        _ => return None,
    };
    let header = wire.headers.as_ref().and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")));
    let header = header.and_then(|(_, value)| value.as_str());
    let token = wire.authorization_token.as_deref().or(header).and_then(token_of).map(|token| Personal::new(token.to_owned()));
    Some(AuthorizerRequest { api, resource: resource.into(), token })
}

/// The token in the value of an Authorization header. API Gateway's own authorizers accept it without a scheme too.
fn token_of(value: &str) -> Option<&str> {
    let value = value.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => "",
        None => value,
    };
    Some(token).filter(|token| !token.is_empty())
}

impl AuthorizerRequest {
    /// The response in the format that the API expects.
    pub fn response(&self, authorization: &Authorization, format: AuthorizerResponse) -> Value {
        let context = &authorization.context;
        if self.api == Api::HttpPayload2 && format == AuthorizerResponse::Simple {
            return json!({ "isAuthorized": authorization.is_allowed, "context": context });
        }
        let effect = if authorization.is_allowed { "Allow" } else { "Deny" };
        let statement = json!({ "Action": "execute-api:Invoke", "Effect": effect, "Resource": self.stage() });
        json!({
            "principalId": authorization.principal.as_ref().map_or(UNKNOWN_PRINCIPAL, |sub| sub.expose().as_str()),
            "policyDocument": { "Version": "2012-10-17", "Statement": [statement] },
            "context": context,
        })
    }

    /// Every method of the called stage. API Gateway caches a policy for the token and applies it to other methods too.
    fn stage(&self) -> String {
        let mut parts = self.resource.splitn(3, '/');
        match (parts.next(), parts.next()) {
            (Some(api), Some(stage)) => format!("{api}/{stage}/*"),
            _ => self.resource.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders/7";

    #[track_caller]
    fn check(event: &Value, expected: Option<(Api, Option<&str>)>) {
        let request = parse(&event.to_string());
        let found = request.as_ref().map(|request| (request.api, request.token.as_ref().map(|token| token.expose().as_str())));
        assert_eq!(found, expected, "{event}");
    }

    #[test]
    fn each_event_is_known_by_its_shape() {
        check(&json!({ "type": "TOKEN", "methodArn": ARN, "authorizationToken": "Bearer a.b.c" }), Some((Api::Rest, Some("a.b.c"))));
        check(&json!({ "type": "TOKEN", "methodArn": ARN, "authorizationToken": "a.b.c" }), Some((Api::Rest, Some("a.b.c"))));
        check(&json!({ "type": "TOKEN", "methodArn": ARN, "authorizationToken": "Basic YTpi" }), Some((Api::Rest, None)));
        check(&json!({ "type": "REQUEST", "methodArn": ARN, "headers": { "AUTHORIZATION": "bearer  a.b.c " } }), Some((Api::Rest, Some("a.b.c"))));
        check(&json!({ "type": "REQUEST", "methodArn": ARN, "headers": null }), Some((Api::Rest, None)));
        let version_1 = json!({ "version": "1.0", "type": "REQUEST", "methodArn": ARN, "identitySource": "a.b.c", "authorizationToken": "a.b.c" });
        check(&version_1, Some((Api::HttpPayload1, Some("a.b.c"))));
        let version_2 =
            json!({ "version": "2.0", "type": "REQUEST", "routeArn": ARN, "identitySource": ["x"], "headers": { "authorization": "Bearer a.b.c" } });
        check(&version_2, Some((Api::HttpPayload2, Some("a.b.c"))));
        for other in [
            json!({ "triggerSource": "PreAuthentication_Authentication" }),
            json!({ "type": "TOKEN" }),
            json!({ "type": "PUT", "methodArn": ARN }),
            json!({ "type": 7, "methodArn": ARN }),
            json!([]),
        ] {
            check(&other, None);
        }
        assert!(!format!("{:?}", parse(&version_1.to_string())).contains("a.b.c"));
    }

    #[test]
    fn responses_have_the_format_of_the_api() {
        let answer = |is_allowed| Authorization { is_allowed, principal: Some(Personal::new("sub".into())), context: [("client_id", "web".to_owned())].into() };
        let request = |api| AuthorizerRequest { api, resource: ARN.into(), token: None };
        let policy = |effect| {
            json!({ "principalId": "sub", "context": { "client_id": "web" }, "policyDocument": { "Version": "2012-10-17", "Statement": [
                { "Action": "execute-api:Invoke", "Effect": effect, "Resource": "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/*" }] } })
        };
        for format in [AuthorizerResponse::Simple, AuthorizerResponse::Iam] {
            assert_eq!(request(Api::Rest).response(&answer(true), format), policy("Allow"));
            assert_eq!(request(Api::HttpPayload1).response(&answer(false), format), policy("Deny"));
        }
        assert_eq!(request(Api::HttpPayload2).response(&answer(true), AuthorizerResponse::Iam), policy("Allow"));
        let simple = json!({ "isAuthorized": false, "context": { "client_id": "web" } });
        assert_eq!(request(Api::HttpPayload2).response(&answer(false), AuthorizerResponse::Simple), simple);
    }
}
