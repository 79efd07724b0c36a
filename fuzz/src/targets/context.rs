//! The token of a signed context, and any payload with a good signature: only a valid one is accepted.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate_config::Config;
use riskgate_engine::{context::Trust, personal::Personal, sign_in::User};
use riskgate_event::signed_context::{Audience, Claims, sign, verify};
use riskgate_runtime::clock;

const KEY: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let map = std::collections::BTreeMap::from([("RISKGATE_CONTEXT_KEYS".to_owned(), format!("k1:HS256:{KEY},ed:EdDSA:{KEY}"))]);
    let (config, faults) = Config::read(&map);
    assert!(faults.is_empty());
    config
});

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let user = User { name: Personal::new("ada".into()), ..User::default() };
    let audience = Audience { pool: "p", client: "c" };
    let now = clock::read();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A signature cannot be guessed, so any text here is refused.
    let parts = text.split('.').count();
    if let Ok(context) = verify(text, &user, audience, now, &CONFIG.trust) {
        assert_eq!(context.trust, Trust::Signed);
        assert_eq!(parts, 3);
    }
    // Claims of any kind with a valid signature: accepted only if they are for this pool, client and user, and of this hour.
    let Ok(claims) = serde_json::from_str::<Claims>(text) else { return };
    let key = CONFIG.trust.context_keys[0].key.try_get_as_bytes().expect("a shared key");
    let token = sign(&claims, "k1", Algorithm::HS256, &EncodingKey::from_secret(key)).expect("a token");
    if verify(&token, &user, audience, now, &CONFIG.trust).is_ok() {
        assert_eq!((claims.aud.as_str(), claims.client_id.as_str()), ("p", "c"));
        assert!(claims.sub.is_none_or(|sub| sub.to_lowercase() == "ada"));
        let age = i128::from(now.wall.as_second()) - i128::from(claims.iat);
        assert!((-120..=420).contains(&age));
    }
}
