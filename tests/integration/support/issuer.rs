//! A user pool's issuer on loopback: it publishes signing keys, and tests sign tokens with them.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaPublicKeyComponents},
};
use serde_json::{Value, json};

use crate::wire::{Act, Server, json as json_answer};

/// The user pool of the issuer.
pub const POOL: &str = "eu-west-1_test";

/// A private key of `tests/fixtures/jwt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The key with which the pool signs.
    Current,
    /// The key with which it signs after a rotation.
    Next,
    /// A key of another party.
    Stranger,
}

/// An issuer. It ends when it is dropped.
pub struct Issuer {
    server: Server,
    act: Arc<Mutex<Act>>,
}

impl Key {
    fn pair(self) -> KeyPair {
        let bytes: &[u8] = match self {
            Key::Current => include_bytes!("../../fixtures/jwt/current.pk8"),
            Key::Next => include_bytes!("../../fixtures/jwt/next.pk8"),
            Key::Stranger => include_bytes!("../../fixtures/jwt/stranger.pk8"),
        };
        KeyPair::from_pkcs8(bytes).expect("an RSA key")
    }

    /// The public key as a pool lists it.
    pub fn jwk(self, kid: &str) -> Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair().public());
        let text = |number: Vec<u8>| URL_SAFE_NO_PAD.encode(number);
        json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": text(public.n), "e": text(public.e) })
    }

    /// A token with this header and these claims.
    pub fn token(self, header: &Value, claims: &Value) -> String {
        let pair = self.pair();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
        let mut signature = vec![0; pair.public().modulus_len()];
        let encoding = if header["alg"] == "RS512" { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
        pair.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
        if header["alg"] == "HS256" {
            // An attacker's trick: the public key as the secret of an HMAC.
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &RsaPublicKeyComponents::<Vec<u8>>::from(pair.public()).n);
            signature = hmac::sign(&secret, message.as_bytes()).as_ref().to_vec();
        }
        format!("{message}.{}", if header["alg"] == "none" { String::new() } else { text(&signature) })
    }

    /// A token of this key under the id `1`, signed as user pools sign.
    pub fn sign(self, claims: &Value) -> String {
        self.token(&json!({ "kid": "1", "alg": "RS256" }), claims)
    }
}

impl Issuer {
    /// An issuer that lists the current key under the id `1`.
    pub async fn start() -> Self {
        let act = Arc::new(Mutex::new(jwks(&[Key::Current.jwk("1")])));
        let shown = Arc::clone(&act);
        let server = Server::start(move |request| match request.line.as_str() {
            "GET /eu-west-1_test/.well-known/jwks.json" => shown.lock().unwrap().clone(),
            _ => json_answer(404, "{}"),
        })
        .await;
        Issuer { server, act }
    }

    /// The `iss` claim.
    pub fn url(&self) -> String {
        format!("{}/{POOL}", self.server.origin())
    }

    /// Answers later requests for the keys differently.
    pub fn publish(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    /// How often the keys were fetched.
    pub fn fetches(&self) -> usize {
        self.server.count()
    }

    /// The claims of a good access token at a time in seconds since 1970.
    pub fn claims(&self, now: i64) -> Value {
        json!({ "sub": "sub-ada", "iss": self.url(), "client_id": "web", "origin_jti": "o", "event_id": "e", "token_use": "access",
            "scope": "openid", "auth_time": now, "acr": "urn:cognito:loa:4", "amr": ["pwd", "otp", "mfa"], "exp": now + 3600, "iat": now,
            "jti": "j", "username": "ada", "riskgate:level": "low" })
    }
}

/// A list of keys.
pub fn jwks(keys: &[Value]) -> Act {
    json_answer(200, json!({ "keys": keys }).to_string())
}

/// Claims with some replaced; null removes one.
pub fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}
