//! Who asks: nobody known, a viewer, or an operator by name.
//!
//! Aggregates need no token. Users and decisions need a view token, an operator's token or the sidecar's own. Acting needs a named operator:
//! a token of `DASHBOARD_OPERATORS`, or the name that a proxy sends from `DASHBOARD_PROXY_CIDRS` together with its secret.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use base64::Engine as _;
use http::{HeaderMap, HeaderName, header};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use riskgate_config::dashboard::{DashboardConfig, is_operator_name};

/// The header in which a proxy names the operator.
const USER_HEADER: HeaderName = HeaderName::from_static("x-forwarded-user");

/// The header in which a proxy proves that it is the one of the configuration.
const SECRET_HEADER: HeaderName = HeaderName::from_static("x-riskgate-proxy-secret");

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Not known: sees aggregates only.
    Anonymous,
    /// Sees users and decisions.
    Viewer,
    /// Sees them, and acts under this name.
    Operator(Arc<str>),
}

/// Why a request has no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unidentified {
    /// The token is none of the configured ones.
    WrongToken,
    /// Headers of the proxy that the proxy did not send.
    Forged,
}

/// The current tokens and the proxy, shared with every listener.
pub type Access = Arc<ArcSwap<DashboardConfig>>;

impl Identity {
    /// Identifies a request from `peer`. `token` is the sidecar's own token.
    ///
    /// # Errors
    ///
    /// The request claims an identity that it does not have.
    pub fn of(headers: &HeaderMap, peer: IpAddr, config: &DashboardConfig, token: Option<&SecretString>) -> Result<Self, Unidentified> {
        if let Some(secret) = &config.proxy_secret
            && (headers.contains_key(&SECRET_HEADER) || headers.contains_key(&USER_HEADER))
        {
            let sent = single(headers, &SECRET_HEADER).unwrap_or_default();
            let name = single(headers, &USER_HEADER).filter(|name| is_operator_name(name));
            let is_proxy = config.proxy_cidrs.iter().any(|net| net.contains(&peer.to_canonical())) && is_equal(sent.as_bytes(), secret);
            return name.filter(|_| is_proxy).map(|name| Identity::Operator(name.into())).ok_or(Unidentified::Forged);
        }
        if !headers.contains_key(header::AUTHORIZATION) {
            return Ok(Identity::Anonymous);
        }
        let sent = sent_token(headers).ok_or(Unidentified::WrongToken)?;
        // Every token is compared, so the time does not tell which one is nearly right.
        let operators: Vec<_> = config.operators.iter().filter(|operator| is_equal(&sent, &operator.token)).collect();
        let is_viewer = [config.view_token.as_ref(), token].into_iter().flatten().filter(|known| is_equal(&sent, known)).count() > 0;
        match operators.first() {
            Some(operator) => Ok(Identity::Operator(operator.name.as_str().into())),
            None if is_viewer => Ok(Identity::Viewer),
            None => Err(Unidentified::WrongToken),
        }
    }

    /// Whether users and decisions are shown.
    pub fn may_view(&self) -> bool {
        *self != Identity::Anonymous
    }

    /// The name of the operator, if the request may act.
    pub fn operator(&self) -> Option<&Arc<str>> {
        match self {
            Identity::Operator(name) => Some(name),
            Identity::Anonymous | Identity::Viewer => None,
        }
    }
}

/// The token of a request, as Bearer token or as the password of Basic credentials (RFC 7617). Only the header is read, because URLs end up in
/// logs and browser histories.
pub fn sent_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    match single(headers, &header::AUTHORIZATION)?.split_once(' ') {
        Some(("Bearer", sent)) => Some(sent.as_bytes().to_vec()),
        Some(("Basic", sent)) => {
            let text = base64::engine::general_purpose::STANDARD.decode(sent).unwrap_or_default();
            // Empty when there is no colon; a token is never empty.
            Some(text.iter().position(|byte| *byte == b':').map(|colon| text[colon + 1..].to_vec()).unwrap_or_default())
        }
        Some(_) | None => None,
    }
}

/// Whether a sent token is the secret, compared in constant time.
pub fn is_equal(sent: &[u8], secret: &SecretString) -> bool {
    bool::from(sent.ct_eq(secret.expose_secret().as_bytes()))
}

/// The value of a header that occurs exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use riskgate_config::Config;

    fn config() -> DashboardConfig {
        let variables = [
            ("RISKGATE_DASHBOARD_VIEW_TOKEN", "a-view-token-of-length"),
            ("RISKGATE_DASHBOARD_OPERATORS", "ada=ada-s-token-of-length, bob=bob-s-token-of-length"),
            ("RISKGATE_DASHBOARD_PROXY_CIDRS", "10.0.0.0/8"),
            ("RISKGATE_DASHBOARD_PROXY_SECRET", "the-proxy-s-secret"),
        ];
        let (config, faults) = Config::read(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect::<BTreeMap<_, _>>());
        assert!(faults.is_empty(), "{faults:?}");
        config.dashboard
    }

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], peer: &str, expected: Result<Identity, Unidentified>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        let token = SecretString::from("the-sidecar-s-own-token".to_owned());
        assert_eq!(Identity::of(&map, peer.parse().expect("an address"), &config(), Some(&token)), expected, "{headers:?} from {peer}");
    }

    #[test]
    fn tokens_identify_viewers_and_operators() {
        check(&[], "127.0.0.1", Ok(Identity::Anonymous));
        check(&[("authorization", "Bearer a-view-token-of-length")], "127.0.0.1", Ok(Identity::Viewer));
        check(&[("authorization", "Bearer the-sidecar-s-own-token")], "127.0.0.1", Ok(Identity::Viewer));
        check(&[("authorization", "Bearer bob-s-token-of-length")], "127.0.0.1", Ok(Identity::Operator("bob".into())));
        for wrong in ["Bearer ", "Bearer x", "Digest a-view-token-of-length", "a-view-token-of-length", "Basic !!"] {
            check(&[("authorization", wrong)], "127.0.0.1", Err(Unidentified::WrongToken));
        }
        let twice = [("authorization", "Bearer bob-s-token-of-length"), ("authorization", "Bearer bob-s-token-of-length")];
        check(&twice, "127.0.0.1", Err(Unidentified::WrongToken));
    }

    #[test]
    fn a_name_counts_only_from_the_proxy_with_its_secret() {
        let (user, secret) = (("x-forwarded-user", "eve@example.com"), ("x-riskgate-proxy-secret", "the-proxy-s-secret"));
        check(&[user, secret], "10.1.2.3", Ok(Identity::Operator("eve@example.com".into())));
        check(&[user, secret], "::ffff:10.1.2.3", Ok(Identity::Operator("eve@example.com".into())));
        check(&[user, secret], "192.0.2.1", Err(Unidentified::Forged));
        check(&[user], "10.1.2.3", Err(Unidentified::Forged));
        check(&[secret], "10.1.2.3", Err(Unidentified::Forged));
        check(&[user, ("x-riskgate-proxy-secret", "another-secret-guess")], "10.1.2.3", Err(Unidentified::Forged));
        check(&[user, user, secret], "10.1.2.3", Err(Unidentified::Forged));
        check(&[("x-forwarded-user", "<script>"), secret], "10.1.2.3", Err(Unidentified::Forged));
        check(&[user, ("authorization", "Bearer bob-s-token-of-length")], "10.1.2.3", Err(Unidentified::Forged));
    }
}
