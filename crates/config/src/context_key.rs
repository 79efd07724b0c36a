//! Verification keys of signed contexts: `kid:alg:base64url`, parsed once at start.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use crate::history::is_kid;
use crate::pseudonym::base64url;

/// The minimum length of a shared key in bytes: the length of the digest (RFC 7518, 3.2).
const MIN_SECRET_LENGTH: usize = 32;

/// The bytes before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The bytes before a P-256 point in a SubjectPublicKeyInfo (RFC 5480).
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that verifies signed contexts, bound to one algorithm.
#[derive(Debug, Clone)]
pub struct ContextKey {
    /// The token's `kid`.
    pub kid: String,
    /// The only algorithm that this key is used with, regardless of the token's header (RFC 8725, 3.1).
    pub algorithm: Algorithm,
    /// The algorithm's name in a token's header.
    pub algorithm_name: &'static str,
    /// A shared secret, or a public key.
    pub key: DecodingKey,
    /// The rules for jsonwebtoken, which checks only the signature. The event crate compares audience, subject and age with the sign-in.
    pub validation: Validation,
}

impl ContextKey {
    /// Parses one `kid:alg:base64url` entry.
    ///
    /// A public key is a SubjectPublicKeyInfo (what `openssl pkey -pubout -outform DER` writes), the
    /// 32 bytes of an Ed25519 key, or the 65 bytes of an uncompressed P-256 point.
    ///
    /// # Errors
    ///
    /// The entry is invalid. The text explains why and contains no part of the entry.
    pub fn parse(entry: &str) -> Result<Self, &'static str> {
        let mut parts = entry.splitn(3, ':');
        let (Some(kid), Some(alg), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("is not kid:alg:base64url");
        };
        if !is_kid(kid) {
            return Err("needs a kid of 1 to 16 letters, digits, - or _");
        }
        let bytes = base64url(key).map_err(|_| "has a key that is not base64url")?;
        let (algorithm, algorithm_name, key) = match alg {
            "HS256" if bytes.len() >= MIN_SECRET_LENGTH => (Algorithm::HS256, "HS256", DecodingKey::from_secret(&bytes)),
            "HS256" => return Err("has a key of less than 32 bytes"),
            "ES256" => match bytes.strip_prefix(P256_SPKI).unwrap_or(&bytes) {
                point @ [0x04, rest @ ..] if rest.len() == 64 => (Algorithm::ES256, "ES256", DecodingKey::from_ec_der(point)),
                _ => return Err("is not a P-256 public key (SubjectPublicKeyInfo, or an uncompressed point)"),
            },
            "EdDSA" => match bytes.strip_prefix(ED25519_SPKI).unwrap_or(&bytes) {
                key if key.len() == 32 => (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_der(key)),
                _ => return Err("is not an Ed25519 public key (SubjectPublicKeyInfo, or its 32 bytes)"),
            },
            _ => return Err("has an algorithm other than HS256, ES256 and EdDSA"),
        };
        let mut validation = Validation::new(algorithm);
        // The claims are checked later, against the time of the sign-in and not against the system clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims = HashSet::new();
        Ok(ContextKey { kid: kid.to_owned(), algorithm, algorithm_name, key, validation })
    }
}

/// Parses entries separated by commas or line breaks, and calls `fault` with each problem.
pub fn parse_all(text: &str, mut fault: impl FnMut(String)) -> Vec<ContextKey> {
    let mut keys: Vec<ContextKey> = Vec::new();
    for (at, entry) in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        let number = at + 1;
        match ContextKey::parse(entry) {
            Ok(key) if keys.iter().any(|known| known.kid == key.kid) => fault(format!("entry {number} has the kid of an earlier one")),
            Ok(key) => keys.push(key),
            Err(problem) => fault(format!("entry {number} {problem}")),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn entry(alg: &str, key: &[u8]) -> String {
        format!("k1:{alg}:{}", URL_SAFE_NO_PAD.encode(key))
    }

    #[test]
    fn raw_keys_and_spki_keys_are_parsed() {
        let point = [&[4][..], &[7; 64]].concat();
        for (alg, key) in [
            ("HS256", vec![1; 32]),
            ("EdDSA", vec![2; 32]),
            ("EdDSA", [ED25519_SPKI, &[2; 32]].concat()),
            ("ES256", point.clone()),
            ("ES256", [P256_SPKI, &point].concat()),
        ] {
            let parsed = ContextKey::parse(&entry(alg, &key)).expect("a key");
            assert_eq!(parsed.algorithm_name, alg);
            assert_eq!(parsed.validation.algorithms, [parsed.algorithm], "the algorithm is pinned");
        }
    }

    #[test]
    fn faults_name_the_entry_without_its_text() {
        let secret = URL_SAFE_NO_PAD.encode([9; 31]);
        let text = format!("k1:HS256:{secret},k2:RS256:{secret}\nk3:ES256:{secret},no_colon_{secret},k!:HS256:{secret},k6:EdDSA:%%%");
        let mut faults = Vec::new();
        assert!(parse_all(&text, |fault| faults.push(fault)).is_empty());
        assert_eq!(faults.len(), 6, "{faults:?}");
        for (at, fault) in faults.iter().enumerate() {
            assert!(fault.starts_with(&format!("entry {} ", at + 1)), "{fault}");
            assert!(!fault.contains(&secret[..6]), "{fault}");
        }
    }

    #[test]
    fn a_repeated_kid_is_a_fault() {
        let mut faults = Vec::new();
        let twice = format!("{},{}", entry("HS256", &[1; 32]), entry("HS256", &[2; 32]));
        assert_eq!(parse_all(&twice, |fault| faults.push(fault)).len(), 1);
        assert_eq!(faults, ["entry 2 has the kid of an earlier one"]);
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key = ContextKey::parse(&entry("HS256", &[77; 32])).expect("a key");
        let debug = format!("{key:?}");
        assert!(debug.contains("[redacted]") && !debug.contains("77"), "{debug}");
    }
}
