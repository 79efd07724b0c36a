//! The header and the claims of a compact JWS, before its signature is verified.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

/// A token's header. Other parameters, such as `crit`, `jwk`, `jku` or `b64`, are rejected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoseHeader {
    /// The algorithm.
    pub alg: String,
    /// The id of the key.
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default, rename = "typ")]
    _typ: Option<String>,
}

/// Decodes one part of a token, which must be a JSON object.
pub fn decode_object<T: DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    // serde accepts an array as the fields of a struct.
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(&bytes).ok().filter(|_| is_object)
}
