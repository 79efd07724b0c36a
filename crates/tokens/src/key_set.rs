//! The signing keys of a user pool, as its JWKS lists them (RFC 7517).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use crate::error::TokenError;

/// The largest number of keys. A user pool has two.
const MAX_KEYS: usize = 64;

/// The size of a modulus in bytes: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The largest size of a public exponent in bytes. User pools use 65537.
const MAX_EXPONENT_BYTES: usize = 5;

/// The keys of a pool, by their ids.
pub(crate) struct KeySet(Vec<(String, Key)>);

/// A listed key.
enum Key {
    /// An RSA key for RS256.
    Rsa(DecodingKey),
    /// Another type, use or algorithm, or values that are not a key.
    Unusable,
    /// Several keys have this id.
    Ambiguous,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Parses a JWKS; `None` when it is not one, or has more than 64 keys. Keys without an id are skipped, because a token names its key.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let jwks: Jwks = serde_json::from_slice(body).ok()?;
        if jwks.keys.len() > MAX_KEYS {
            return None;
        }
        let mut keys: Vec<(String, Key)> = Vec::new();
        for jwk in jwks.keys {
            let Some(kid) = jwk.get("kid").and_then(Value::as_str).map(str::to_owned) else { continue };
            match keys.iter_mut().find(|(known, _)| *known == kid) {
                Some((_, key)) => *key = Key::Ambiguous,
                None => {
                    let key = serde_json::from_value(jwk).ok().and_then(|jwk: Jwk| jwk.rsa_key());
                    keys.push((kid, key.map_or(Key::Unusable, Key::Rsa)));
                }
            }
        }
        Some(KeySet(keys))
    }

    /// The key with an id.
    ///
    /// # Errors
    ///
    /// There is none, or it is not usable.
    pub(crate) fn find(&self, kid: &str) -> Result<DecodingKey, TokenError> {
        match self.0.iter().find(|(known, _)| known == kid) {
            Some((_, Key::Rsa(key))) => Ok(key.clone()),
            Some((_, Key::Unusable)) => Err(TokenError::KeyType),
            Some((_, Key::Ambiguous)) => Err(TokenError::AmbiguousKey),
            None => Err(TokenError::UnknownKey),
        }
    }
}

impl Jwk {
    fn rsa_key(&self) -> Option<DecodingKey> {
        let is_for_rs256 =
            self.kty == "RSA" && self.usage.as_deref().is_none_or(|usage| usage == "sig") && self.alg.as_deref().is_none_or(|alg| alg == "RS256");
        let (modulus, exponent) = (number(self.n.as_deref()?)?, number(self.e.as_deref()?)?);
        let is_key = MODULUS_BYTES.contains(&modulus.len()) && (1..=MAX_EXPONENT_BYTES).contains(&exponent.len());
        (is_for_rs256 && is_key).then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }
}

/// A number in base64url, without leading zero bytes, which ring refuses.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn modulus(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xC5; bytes])
    }

    #[track_caller]
    fn check(keys: &Value, expected: Option<TokenError>) {
        let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a JWKS");
        assert_eq!(set.find("1").err(), expected, "{keys}");
    }

    #[test]
    fn only_rsa_keys_for_signatures_are_used() {
        let good = json!({ "kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": modulus(256), "e": "AQAB" });
        let with = |name: &str, value: Value| {
            let mut key = good.clone();
            key[name] = value;
            json!([key])
        };
        check(&json!([good]), None);
        check(&json!([{ "kty": "RSA", "kid": "1", "n": modulus(1024), "e": "AQAB" }]), None);
        let wrong = [
            ("kty", json!("EC")),
            ("kty", json!("oct")),
            ("kty", json!(7)),
            ("use", json!("enc")),
            ("alg", json!("RS512")),
            ("n", json!(modulus(128))),
            ("n", json!(modulus(1025))),
            ("n", json!("%")),
            ("n", Value::Null),
            ("e", json!("")),
            ("e", json!("AAAA")),
            ("e", json!(modulus(6))),
        ];
        for (name, value) in wrong {
            check(&with(name, value), Some(TokenError::KeyType));
        }
    }

    #[test]
    fn a_repeated_id_is_ambiguous_and_a_missing_one_is_skipped() {
        let key = |kid: &str| json!({ "kty": "RSA", "kid": kid, "n": modulus(256), "e": "AQAB" });
        check(&json!([key("1"), key("2"), key("1")]), Some(TokenError::AmbiguousKey));
        check(&json!([key("2"), { "kty": "RSA" }, "x", null]), Some(TokenError::UnknownKey));
        for body in ["", "{", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#] {
            assert!(KeySet::parse(body.as_bytes()).is_none(), "{body}");
        }
        let many: Vec<Value> = (0..=MAX_KEYS).map(|n| key(&n.to_string())).collect();
        assert!(KeySet::parse(json!({ "keys": many }).to_string().as_bytes()).is_none());
    }
}
