//! Parsing of Cognito trigger events: pre-authentication, post-authentication, pre-token-generation and the custom challenge. All
//! others are returned unchanged, except those of an API Gateway authorizer, which have no trigger source.
//!
//! The event format is AWS's. riskgate has its own types for it, because real events contain nulls, unknown fields and values of other
//! types, and none of these may prevent a sign-in.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::{
    authorizer::{self, AuthorizerRequest},
    json_error::JsonError,
    json_objects::{Members, Object},
    json_strings::{read_borrowed, read_json, text},
    queue::{self, QueueBatch},
    signed_context::Audience,
};
use riskgate_config::trust::{TrustConfig, UntrustedContext};
use riskgate_engine::{
    context::{BadContext, Context, RawClaims, Trust},
    ignored::IgnoredInput,
    personal::{Personal, RawEvent},
    sign_in::{Existence, SignIn, Trigger, User},
    time::{ClockReading, EventTime},
};

pub mod challenge;

pub use crate::cognito::challenge::AuthChallenge;

/// A Cognito event, by its trigger.
#[derive(Debug)]
pub enum Event {
    /// A sign-in to assess.
    PreAuthentication(Arc<SignIn>),
    /// A sign-in with the correct password, which may be learned from.
    PostAuthentication(Box<PostAuthentication>),
    /// A token that Cognito is about to issue. Claims may be added.
    PreTokenGeneration(Box<PreTokenGeneration>),
    /// A step of a custom challenge.
    AuthChallenge(Box<AuthChallenge>),
    /// A request to an API that this function authorizes.
    Authorize(Box<AuthorizerRequest>),
    /// Messages about sessions, from a queue.
    QueueBatch(Box<QueueBatch>),
    /// A trigger or pool that riskgate does not handle. The event is returned unchanged.
    NotHandled(RawEvent),
    /// `{"riskgate":"check"}`: a request to check the configuration and its services.
    Check,
}

/// `PostAuthentication_Authentication`.
#[derive(Debug)]
pub struct PostAuthentication {
    /// The event as received.
    pub raw: RawEvent,
    /// When the complete event had been read.
    pub received: ClockReading,
    /// The user pool's id.
    pub pool: SmolStr,
    /// The app client's id.
    pub client: SmolStr,
    /// The value of the tenant attribute.
    pub tenant: Option<Personal<SmolStr>>,
    /// The user who signed in.
    pub user: User,
    /// `newDeviceUsed`; `None` if the pool does not remember devices.
    pub new_device_used: Option<bool>,
    /// The nonce of the attempt that this event completes, if its metadata has a context.
    pub nonce: Option<SmolStr>,
}

/// `TokenGeneration_*`, any version.
#[derive(Debug)]
pub struct PreTokenGeneration {
    /// The event as received.
    pub raw: RawEvent,
    /// When the complete event had been read.
    pub received: ClockReading,
    /// The user pool's id.
    pub pool: SmolStr,
    /// The app client's id.
    pub client: SmolStr,
    /// The user who gets the token.
    pub user: User,
    /// `version`: "1" for claims of the ID token, "2" and "3" for claims and scopes.
    pub version: SmolStr,
    /// `triggerSource` after `TokenGeneration_`, such as `Authentication`, `HostedAuth` or `RefreshTokens`.
    pub source: SmolStr,
    /// The value of the tenant attribute.
    pub tenant: Option<Personal<SmolStr>>,
}

/// Why an event is not a Cognito event. The user never sees it.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is not a JSON object of this shape.
    #[error("the event is not a JSON object: {0}")]
    Json(JsonError),
    /// The named field, which identifies the sign-in, is not an object.
    #[error("{0} is not an object")]
    NotAnObject(&'static str),
}

/// The user of an event, and the app client.
struct Identity {
    pool: SmolStr,
    client: SmolStr,
    user: User,
    tenant: Option<Personal<SmolStr>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    riskgate: Option<&'a RawValue>,
    version: Option<&'a RawValue>,
    trigger_source: Option<&'a RawValue>,
    user_pool_id: Option<&'a RawValue>,
    user_name: Option<&'a RawValue>,
    #[serde(default)]
    caller_context: Object<WireCaller<'a>>,
    #[serde(default)]
    request: Object<WireRequest<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct WireRequest<'a> {
    user_attributes: Object<Members<'a>>,
    validation_data: Object<Members<'a>>,
    client_metadata: Object<Members<'a>>,
    user_not_found: Option<&'a RawValue>,
    new_device_used: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct WireCaller<'a> {
    client_id: Option<&'a RawValue>,
}

/// The app client id of an event that [`parse`] rejects.
pub fn read_client_id(text: &str) -> Option<SmolStr> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        caller_context: Caller,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Caller {
        client_id: SmolStr,
    }
    read_json::<Event>(text).map(|event| event.caller_context.client_id)
}

/// Parses a Cognito event.
///
/// # Errors
///
/// The text is not a JSON object, or its `request`, `callerContext`, `userAttributes` or metadata is neither null nor an object.
pub fn parse(raw: RawEvent, received: ClockReading, config: &TrustConfig) -> Result<Event, BadEvent> {
    // serde accepts an array as the fields of a struct, so the type is checked first.
    if !raw.text().trim_start().starts_with('{') {
        return Err(BadEvent::NotAnObject("the event"));
    }
    let mut replaced = None;
    let wire: Wire<'_> = read_borrowed(raw.text(), &mut replaced).map_err(BadEvent::Json)?;
    if wire.riskgate.and_then(text).as_deref() == Some("check") {
        return Ok(Event::Check);
    }
    let source = wire.trigger_source.and_then(text);
    if source.is_none()
        && let Some(request) = authorizer::parse(raw.text())
    {
        return Ok(Event::Authorize(Box::new(request)));
    }
    if source.is_none()
        && let Some(batch) = queue::parse(raw.text())
    {
        return Ok(Event::QueueBatch(Box::new(batch)));
    }
    let source = source.as_deref().unwrap_or("PreAuthentication_Authentication");
    let pool = SmolStr::from(wire.user_pool_id.and_then(text).unwrap_or_default());
    let is_handled = source.starts_with("PreAuthentication_") || source.starts_with("PostAuthentication_") || source.starts_with("TokenGeneration_");
    let challenge = if is_handled { None } else { challenge::Source::of(source) };
    if !(is_handled || challenge.is_some()) || !config.serves(&pool) {
        return Ok(Event::NotHandled(raw));
    }
    let request = object(wire.request, "request")?;
    let caller = object(wire.caller_context, "callerContext")?;
    let audience = (pool, SmolStr::from(caller.client_id.and_then(text).unwrap_or_default()));
    let attributes = object(request.user_attributes, "userAttributes")?;
    let identity = Identity::read(audience, wire.user_name, request.user_not_found, &attributes, config);
    if let Some(source) = challenge {
        let metadata = object(request.client_metadata, "clientMetadata")?;
        let parsed = challenge::parse(source, identity, (&attributes, &metadata), raw.clone(), received, config)?;
        return Ok(Event::AuthChallenge(Box::new(parsed)));
    }
    let metadata = match object(request.validation_data, "validationData")? {
        empty if empty.is_empty() => object(request.client_metadata, "clientMetadata")?,
        found => found,
    };
    if let Some(source) = source.strip_prefix("TokenGeneration_") {
        let Identity { pool, client, user, tenant } = identity;
        let (version, source) = (wire.version.and_then(text).unwrap_or_default().into(), source.into());
        return Ok(Event::PreTokenGeneration(Box::new(PreTokenGeneration { received, pool, client, user, version, source, tenant, raw })));
    }
    let context = identity.read_context(&metadata, received, config);
    if source.starts_with("PostAuthentication_") {
        let Identity { pool, client, user, tenant } = identity;
        let new_device_used = request.new_device_used.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let nonce = context.nonce;
        return Ok(Event::PostAuthentication(Box::new(PostAuthentication { received, pool, client, user, new_device_used, nonce, tenant, raw })));
    }
    Ok(Event::PreAuthentication(Arc::new(identity.sign_in(Trigger::PreAuthentication, context, received, raw))))
}

/// A member that must be an object; empty if it is missing.
fn object<T: Default>(member: Object<T>, name: &'static str) -> Result<T, BadEvent> {
    member.or_empty().ok_or(BadEvent::NotAnObject(name))
}

impl Identity {
    fn read((pool, client): (SmolStr, SmolStr), name: Option<&RawValue>, not_found: Option<&RawValue>, attributes: &Members<'_>, config: &TrustConfig) -> Self {
        let user = User {
            name: Personal::new(name.and_then(text).unwrap_or_default().into()),
            sub: attribute(attributes, "sub"),
            existence: if not_found.is_some_and(is_true) { Existence::NotFound } else { Existence::Known },
            aliases: ["email", "phone_number", "preferred_username"].iter().filter_map(|name| attribute(attributes, name)).collect(),
            pseudonyms: None,
        };
        Identity { pool, client, user, tenant: config.tenant_attribute.as_deref().and_then(|name| attribute(attributes, name)) }
    }

    /// The claims in the caller's metadata, with the trust of the app client or of a signature.
    fn read_context(&self, metadata: &Members<'_>, received: ClockReading, config: &TrustConfig) -> Context {
        let Identity { pool, client, user, .. } = self;
        if let Some(raw) = metadata.get("riskgate").filter(|raw| raw.get() != "null") {
            // The size is checked before the string is unescaped.
            let token =
                if raw.get().len() > crate::signed_context::MAX_TOKEN_BYTES + 2 { Err(BadContext::TooLarge) } else { text(raw).ok_or(BadContext::Malformed) };
            match token.and_then(|token| crate::signed_context::verify(&token, user, Audience { pool, client }, received, config)) {
                Ok(context) => return context,
                Err(bad) => return Context { trust: Trust::Bad(bad), ..unsigned(metadata, client, config) },
            }
        }
        let mut context = unsigned(metadata, client, config);
        context.trust = match (context.is_empty(), config.trusts(client)) {
            (true, _) => Trust::None,
            (false, true) => Trust::Trusted,
            (false, false) => Trust::Unsigned,
        };
        context
    }

    fn sign_in(self, trigger: Trigger, context: Context, received: ClockReading, raw: RawEvent) -> SignIn {
        let Identity { pool, client, user, tenant } = self;
        SignIn { trigger, received, at: EventTime::new(received.wall), pool, client, tenant, user, context, raw }
    }
}

/// Whether a value is true, as a flag or as Cognito's attributes have it, a text.
fn is_true(raw: &RawValue) -> bool {
    matches!(raw.get(), "true" | "\"true\"")
}

fn unsigned(metadata: &Members<'_>, client: &str, config: &TrustConfig) -> Context {
    if !config.trusts(client) && *config.untrusted_context.of(client) == UntrustedContext::Ignore {
        return Context::default();
    }
    let mut malformed = false;
    let mut claim = |name: &str| {
        let raw = metadata.get(name).filter(|raw| raw.get() != "null")?;
        let found = text(raw);
        malformed |= found.is_none();
        found
    };
    let ip = match claim("ip") {
        // Many callers send an empty text for a missing field.
        Some(ip) if !ip.is_empty() => Some(ip),
        Some(_) | None => claim("IpAddress"),
    };
    let [user_agent, device_id, accept_language, timezone] = ["userAgent", "deviceId", "acceptLanguage", "timezone"].map(claim);
    let claims = RawClaims {
        ip: ip.as_deref(),
        user_agent: user_agent.as_deref(),
        device_id: device_id.as_deref(),
        accept_language: accept_language.as_deref(),
        timezone: timezone.as_deref(),
    };
    let mut context = Context::read(Trust::None, &claims);
    if malformed {
        context.ignored.insert(IgnoredInput::MalformedMetadata);
    }
    context
}

fn attribute(attributes: &Members<'_>, name: &str) -> Option<Personal<SmolStr>> {
    attributes.get(name).and_then(text).filter(|value| !value.is_empty()).map(|value| Personal::new(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_config::Config;
    use riskgate_runtime::clock;

    #[track_caller]
    fn check_unreadable(event: &str) {
        let raw = RawEvent::new(RawValue::from_string(event.to_owned()).expect("valid JSON"));
        assert!(matches!(parse(raw, clock::read(), &Config::defaults().trust), Err(BadEvent::NotAnObject(_))), "{event}");
    }

    #[test]
    fn lone_surrogates_are_accepted() {
        for source in ["PreAuthentication_Authentication", "PostAuthentication_Authentication", "TokenGeneration_Authentication"] {
            for event in [
                r#"{"triggerSource":"T","\ud800":1,"userName":"ada"}"#,
                r#"{"triggerSource":"T","userName":"\udfff"}"#,
                r#"{"triggerSource":"T","request":{"clientMetadata":{"\ud800":"\udc00\ud800","userAgent":"\ud83d"}}}"#,
                r#"{"triggerSource":"T","request":{"\ud800":{},"userAttributes":{"\udfff":"x","sub":"\ud800"}}}"#,
                r#"{"triggerSource":"T","callerContext":{"\ud800":{},"clientId":"\ud83d"}}"#,
            ] {
                let event = event.replace("\"T\"", &format!("\"{source}\""));
                let raw = RawEvent::new(RawValue::from_string(event.clone()).expect("valid JSON"));
                assert!(!matches!(parse(raw, clock::read(), &Config::defaults().trust), Err(_) | Ok(Event::NotHandled(_))), "{event}");
            }
        }
    }

    #[test]
    fn an_array_is_not_an_object() {
        check_unreadable("[]");
        check_unreadable("[null,null,null,null,null,null,null]");
        check_unreadable(r#"{"request":[]}"#);
        for wrong in ["\"text\"", "true", "-1", "1", "1.5"] {
            check_unreadable(&format!(r#"{{"callerContext":{wrong}}}"#));
            check_unreadable(&format!(r#"{{"request":{{"userAttributes":{wrong}}}}}"#));
        }
    }
}
