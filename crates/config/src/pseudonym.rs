//! Pseudonyms: keyed hashes that replace users, networks and devices in the store and in logs.
//!
//! Pseudonyms are HMAC-SHA256 (FIPS 198-1). Hashes of four bytes are SipHash-2-4. Each purpose has its own key, derived from the
//! configured key in the manner of HKDF-Expand (RFC 5869). Without the key, a store and a log cannot be joined. New records are
//! written under the first configured key. Records that are found under an older key move to the first one.

use std::{hash::Hasher as _, net::IpAddr};

use base64::Engine as _;
use ring::{
    aead, hmac,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::ExposeSecret;
use siphasher::sip::{SipHasher13, SipHasher24};
use smallvec::SmallVec;
use smol_str::SmolStr;

use riskgate_engine::{
    features::FeatureKey,
    sign_in::{User, UserPseudonyms},
};

/// Creates pseudonyms under the configured keys.
pub struct Pseudonyms {
    /// Newest first; never empty.
    keys: SmallVec<[DerivedKeys; 1]>,
}

/// A user's keys in the store, one for each configured key, newest first.
pub type UserKeys = SmallVec<[SmolStr; 1]>;

/// The keys derived from one configured key.
struct DerivedKeys {
    kid: SmolStr,
    id: SmolStr,
    features: FeatureKey,
    short: [u8; 16],
    store: hmac::Key,
    audit: hmac::Key,
    decoy: hmac::Key,
    challenge: hmac::Key,
}

/// The size of the keyed hash of a code in bytes.
pub const CODE_HASH_BYTES: usize = 32;

impl Pseudonyms {
    /// Derives the key of every purpose. Without a configured key, as with the memory store, a random key lasts as long as the process.
    pub fn new(keys: &[PseudonymKey]) -> Self {
        let keys: SmallVec<[DerivedKeys; 1]> =
            keys.iter().filter_map(|key| base64url(key.key.expose_secret()).ok().map(|bytes| DerivedKeys::derive(&key.kid, &bytes))).collect();
        if keys.is_empty() {
            return Self::random();
        }
        Pseudonyms { keys }
    }

    /// Pseudonyms under a random key that is not stored.
    pub fn random() -> Self {
        let mut key = [0_u8; 32];
        SystemRandom::new().fill(&mut key).expect("the operating system has random bytes");
        Pseudonyms { keys: SmallVec::from_iter([DerivedKeys::derive("", &key)]) }
    }

    /// The key that hashes the features of a new sign-in.
    pub fn feature_key(&self) -> &FeatureKey {
        &self.newest().features
    }

    /// All keys under which profiles may hold feature hashes, newest first.
    pub fn feature_keys(&self) -> impl Iterator<Item = &FeatureKey> {
        self.keys.iter().map(|keys| &keys.features)
    }

    /// The kid of each configured key and an id derived from the key, newest first. A random key has an empty kid.
    pub fn key_names(&self) -> impl Iterator<Item = (&SmolStr, &SmolStr)> {
        self.keys.iter().map(|key| (&key.kid, &key.id))
    }

    /// Whether more than one key is configured.
    pub fn has_older(&self) -> bool {
        self.keys.len() > 1
    }

    /// The keys of a user's record in the store: 22 characters of base64url (128 bits) each.
    pub fn user_keys(&self, pool: &str, user: &str) -> UserKeys {
        self.keys.iter().map(|keys| text(&keys.store, "person", &[pool.as_bytes(), user.as_bytes()], 16)).collect()
    }

    /// The store keys of a network, nonce, device or tenant under every configured key, newest first. Format as in [`Self::user`].
    pub fn records(&self, purpose: &str, parts: &[&[u8]]) -> SmallVec<[SmolStr; 1]> {
        self.keys.iter().map(|keys| text(&keys.store, purpose, parts, 16)).collect()
    }

    /// A keyed hash of four bytes, for the small sets in the store. A sign-in needs about six, so this uses SipHash, which is faster.
    pub fn short_hash(&self, purpose: &str, parts: &[&[u8]]) -> u32 {
        self.newest().short_hash(purpose, parts)
    }

    /// The four-byte hashes of a value under every configured key, newest first.
    pub fn short_hashes(&self, purpose: &str, parts: &[&[u8]]) -> SmallVec<[u32; 1]> {
        self.keys.iter().map(|keys| keys.short_hash(purpose, parts)).collect()
    }

    /// The four-byte hashes of an event under every configured key, newest first. An event has a thousand bytes, and its hash is compared for
    /// seconds only, so this uses SipHash-1-3, which has half the rounds.
    pub fn event_hashes(&self, event: &[u8]) -> SmallVec<[u32; 1]> {
        self.keys.iter().map(|keys| keys.event_hash(event)).collect()
    }

    /// The key that hashes addresses in the shared cache of provider answers. Equal in every process with the same configured key.
    pub fn cache_key(&self) -> [u8; 16] {
        *tag(&self.newest().store, "cache", &[]).as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes")
    }

    /// The seed of an unknown user's decoy history: always the same for one name, and unpredictable without the key.
    pub fn decoy_seed(&self, pool: &str, name: &str) -> [u8; 32] {
        let tag = tag(&self.newest().decoy, "decoy", &[pool.as_bytes(), name.as_bytes()]);
        *tag.as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes")
    }

    /// The keyed hash of a code and of the sign-in that it belongs to, under the newest key.
    pub fn code_hash(&self, parts: &[&[u8]]) -> [u8; CODE_HASH_BYTES] {
        *tag(&self.newest().challenge, "code", parts).as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes")
    }

    /// Whether a keyed hash belongs to these parts, under any configured key. Each comparison takes the same time for every hash.
    pub fn is_code_hash(&self, parts: &[&[u8]], hash: &[u8]) -> bool {
        let mut message = Vec::new();
        write_parts("code", parts, |bytes| message.extend_from_slice(bytes));
        self.keys.iter().any(|keys| hmac::verify(&keys.challenge, &message, hash).is_ok())
    }

    /// Encrypts a text under the newest key, with AES-256-GCM (NIST SP 800-38D) and a random nonce. `None` if the system has no random bytes.
    pub fn seal(&self, purpose: &str, text: &str) -> Option<String> {
        let mut nonce = [0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut bytes = text.as_bytes().to_vec();
        let key = self.newest().sealing_key(purpose)?;
        key.seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::empty(), &mut bytes).ok()?;
        Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([&nonce[..], &bytes].concat()))
    }

    /// Decrypts what [`Self::seal`] returned, under any configured key. `None` if it was sealed under another key or purpose, or was changed.
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Option<String> {
        let bytes = base64url(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<{ aead::NONCE_LEN }>()?;
        self.keys.iter().find_map(|keys| {
            let mut sealed = sealed.to_vec();
            let opened = keys.sealing_key(purpose)?.open_in_place(aead::Nonce::assume_unique_for_key(*nonce), aead::Aad::empty(), &mut sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok()
        })
    }

    /// A user in audit lines and the activity table: 16 characters of base64url (96 bits).
    pub fn user(&self, pool: &str, user: &str) -> SmolStr {
        text(&self.newest().audit, "user", &[pool.as_bytes(), user.as_bytes()], 12)
    }

    /// A user in the activity table under every configured key, newest first.
    pub fn users(&self, pool: &str, user: &str) -> UserKeys {
        self.keys.iter().map(|keys| text(&keys.audit, "user", &[pool.as_bytes(), user.as_bytes()], 12)).collect()
    }

    /// The pseudonyms of a user of a pool: those that came with the user, or else those of the sub or the name.
    pub fn of_user(&self, pool: &str, user: &User) -> UserPseudonyms {
        UserPseudonyms { records: self.record_keys(pool, user), audit: self.audit_user(pool, user), accounts: self.account_hashes(pool, user) }
    }

    /// The keys of a user's record, newest first.
    pub fn record_keys(&self, pool: &str, user: &User) -> UserKeys {
        user.pseudonyms.as_ref().map_or_else(|| self.user_keys(pool, user.key()), |pseudonyms| pseudonyms.records.clone())
    }

    /// The hashes of a user in the windows of networks, newest first.
    pub fn account_hashes(&self, pool: &str, user: &User) -> SmallVec<[u32; 1]> {
        let hashes = || self.short_hashes("account", &[pool.as_bytes(), user.key().as_bytes()]);
        user.pseudonyms.as_ref().map_or_else(hashes, |pseudonyms| pseudonyms.accounts.clone())
    }

    /// A user in audit lines, as in [`Self::user`].
    pub fn audit_user(&self, pool: &str, user: &User) -> SmolStr {
        user.pseudonyms.as_ref().map_or_else(|| self.user(pool, user.key()), |pseudonyms| pseudonyms.audit.clone())
    }

    /// A network (/24 or /48) in audit lines.
    pub fn network(&self, ip: IpAddr) -> SmolStr {
        self.newest().network(ip)
    }

    /// A network in audit lines under every configured key, newest first.
    pub fn networks(&self, ip: IpAddr) -> SmallVec<[SmolStr; 1]> {
        self.keys.iter().map(|keys| keys.network(ip)).collect()
    }

    /// A device id in audit lines.
    pub fn device(&self, id: &str) -> SmolStr {
        text(&self.newest().audit, "device", &[id.as_bytes()], 12)
    }

    fn newest(&self) -> &DerivedKeys {
        self.keys.first().expect("there is always one key")
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pseudonyms({} keys)", self.keys.len())
    }
}

impl DerivedKeys {
    fn network(&self, ip: IpAddr) -> SmolStr {
        match riskgate_engine::client_ip::network_of(ip.to_canonical()) {
            IpAddr::V4(v4) => text(&self.audit, "network", &[&v4.octets()], 12),
            IpAddr::V6(v6) => text(&self.audit, "network", &[&v6.octets()], 12),
        }
    }

    fn short_hash(&self, purpose: &str, parts: &[&[u8]]) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.short);
        write_parts(purpose, parts, |bytes| hasher.write(bytes));
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn sealing_key(&self, purpose: &str) -> Option<aead::LessSafeKey> {
        let key = tag(&self.store, "seal", &[purpose.as_bytes()]);
        aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).ok().map(aead::LessSafeKey::new)
    }

    fn event_hash(&self, event: &[u8]) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.short);
        write_parts("event", &[event], |bytes| hasher.write(bytes));
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn derive(kid: &str, key: &[u8]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, key);
        let purpose = |name: &str| hmac::sign(&master, format!("riskgate/1/{name}").as_bytes());
        let key_of_16 = |name: &str| *purpose(name).as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes");
        let keyed = |name: &str| hmac::Key::new(hmac::HMAC_SHA256, purpose(name).as_ref());
        let mut id = [0; 11];
        // Eight bytes encode to eleven characters.
        let _ = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(&purpose("id").as_ref()[..8], &mut id);
        let (kid, id) = (kid.into(), id.map(char::from).into_iter().collect());
        DerivedKeys {
            kid,
            id,
            features: FeatureKey::new(key_of_16("features")),
            short: key_of_16("marks"),
            store: keyed("store"),
            audit: keyed("audit"),
            decoy: keyed("decoy"),
            challenge: keyed("challenge"),
        }
    }
}

fn text(key: &hmac::Key, purpose: &str, parts: &[&[u8]], bytes: usize) -> SmolStr {
    let mut encoded = [0; 44];
    // 32 bytes encode to 43 characters.
    let length = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(&tag(key, purpose, parts).as_ref()[..bytes], &mut encoded);
    std::str::from_utf8(&encoded[..length.unwrap_or_default()]).unwrap_or_default().into()
}

fn tag(key: &hmac::Key, purpose: &str, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    write_parts(purpose, parts, |bytes| context.update(bytes));
    context.sign()
}

/// Writes each part after its length: ("ab", "c") and ("a", "bc") have different hashes.
fn write_parts(purpose: &str, parts: &[&[u8]], mut put: impl FnMut(&[u8])) {
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        put(&u64::try_from(part.len()).expect("a length fits 64 bits").to_be_bytes());
        put(part);
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn key(kid: &str, key: &str) -> PseudonymKey {
        PseudonymKey { kid: kid.to_owned(), key: SecretString::from(key.to_owned()) }
    }

    #[test]
    fn purposes_pools_and_part_boundaries_change_the_pseudonym() {
        let made = Pseudonyms::new(&[key("a", "AAAAAAAAAAAAAAAAAAAAAA")]);
        let all = [
            made.user("p", "ann"),
            made.user("q", "ann"),
            made.user("pa", "nn"),
            made.device("ann"),
            made.network("8.8.8.8".parse().unwrap()),
            made.user_keys("p", "ann")[0].clone(),
            made.records("person2", &[b"p", b"ann"])[0].clone(),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
    }

    #[test]
    fn a_sealed_text_opens_under_any_configured_key_and_for_its_purpose() {
        let (old, new) = (key("a", "AAAAAAAAAAAAAAAAAAAAAA"), key("b", "BBBBBBBBBBBBBBBBBBBBBA"));
        let sealed = Pseudonyms::new(std::slice::from_ref(&old)).seal("session", "ann").unwrap();
        let rotated = Pseudonyms::new(&[new.clone(), old]);
        assert_eq!(rotated.unseal("session", &sealed).as_deref(), Some("ann"));
        assert_ne!(rotated.seal("session", "ann"), rotated.seal("session", "ann"), "each has its own nonce");
        for bad in [&sealed[..sealed.len() - 2], "", "AAAA", &sealed.replace(&sealed[20..21], if &sealed[20..21] == "A" { "B" } else { "A" })] {
            assert_eq!(rotated.unseal("session", bad), None);
        }
        assert_eq!((rotated.unseal("other", &sealed), Pseudonyms::new(&[new]).unseal("session", &sealed)), (None, None));
    }

    /// Every kind of pseudonym of one user.
    fn all_kinds(made: &Pseudonyms, pool: &str, name: &str, ip: &str) -> [String; 9] {
        let ip: IpAddr = ip.parse().unwrap();
        [
            made.user_keys(pool, name)[0].to_string(),
            made.records("network", &[ip.to_string().as_bytes()])[0].to_string(),
            made.records("device", &[name.as_bytes()])[0].to_string(),
            made.short_hash("nonce", &[name.as_bytes()]).to_string(),
            format!("{:?}", made.decoy_seed(pool, name)),
            made.user(pool, name).to_string(),
            made.network(ip).to_string(),
            made.device(name).to_string(),
            made.feature_key().hash_of(riskgate_engine::features::FeatureLevel::Ip, ip.to_string().as_bytes()).to_string(),
        ]
    }

    #[test]
    fn every_pseudonym_depends_on_the_key_and_hides_the_value() {
        let with = |text: &str| Pseudonyms::new(&[key("a", text)]);
        let (one, other) = (with("AAAAAAAAAAAAAAAAAAAAAA"), with("_____________________w"));
        let found = all_kinds(&one, "pool-1", "ann", "84.208.20.110");
        assert_eq!(found, all_kinds(&one, "pool-1", "ann", "84.208.20.110"));
        for different in [all_kinds(&other, "pool-1", "ann", "84.208.20.110"), all_kinds(&one, "pool-1", "bob", "14.162.100.3")] {
            for (at, (one, other)) in found.iter().zip(&different).enumerate() {
                assert_ne!(one, other, "{at}");
            }
        }
        assert_ne!(one.decoy_seed("pool-1", "ann"), one.decoy_seed("pool-2", "ann"));
        assert_ne!(one.cache_key(), other.cache_key());
        for made in found {
            assert!(!made.contains("ann") && !made.contains("84.208") && !made.contains("pool-1"), "{made}");
        }
    }

    /// The expected values come from other implementations of HMAC-SHA256 and SipHash-2-4.
    #[test]
    fn pseudonyms_never_change() {
        let made = Pseudonyms::new(&[key("a", "AAAAAAAAAAAAAAAAAAAAAA")]);
        assert_eq!(made.user_keys("pool", "ann")[0], "aZQoW5LpG2GppaIlk78byw");
        assert_eq!(made.user("pool", "ann"), "_zMMJrU2bpzKlu_S");
        assert_eq!(made.short_hash("client", &[b"pool", b"web"]), 0x9642_6889);
    }

    #[test]
    fn hosts_of_a_network_share_its_pseudonym() {
        let made = Pseudonyms::random();
        assert_eq!(made.network("8.8.8.8".parse().unwrap()), made.network("::ffff:8.8.8.9".parse().unwrap()));
        assert_ne!(made.network("8.8.8.8".parse().unwrap()), made.network("8.8.9.8".parse().unwrap()));
    }

    #[test]
    fn the_newest_key_is_used_and_older_keys_are_still_found() {
        let (old, new) = (key("old", "AAAAAAAAAAAAAAAAAAAAAA"), key("new", "_____________________w"));
        let before = Pseudonyms::new(std::slice::from_ref(&old));
        let after = Pseudonyms::new(&[new, old]);
        assert_eq!(after.user_keys("p", "ann")[1], before.user_keys("p", "ann")[0]);
        assert_ne!(after.user_keys("p", "ann")[0], before.user_keys("p", "ann")[0]);
        assert_ne!(after.user("p", "ann"), before.user("p", "ann"));
    }

    #[test]
    fn a_code_hash_holds_under_every_configured_key_and_for_its_parts_only() {
        let (old, new) = (key("old", "AAAAAAAAAAAAAAAAAAAAAA"), key("new", "_____________________w"));
        let before = Pseudonyms::new(std::slice::from_ref(&old));
        let hash = before.code_hash(&[b"pool", b"ann", b"12345678"]);
        for (pseudonyms, holds) in [(&before, true), (&Pseudonyms::new(&[new.clone(), old]), true), (&Pseudonyms::new(&[new]), false)] {
            assert_eq!(pseudonyms.is_code_hash(&[b"pool", b"ann", b"12345678"], &hash), holds);
            for parts in [[&b"pool"[..], b"ann", b"12345679"], [b"pool", b"bob", b"12345678"], [b"poola", b"nn", b"12345678"]] {
                assert!(!pseudonyms.is_code_hash(&parts, &hash));
            }
            assert!(!pseudonyms.is_code_hash(&[b"pool", b"ann", b"12345678"], &hash[..31]) && !pseudonyms.is_code_hash(&[], b""));
        }
    }

    #[test]
    fn debug_output_hides_the_keys() {
        assert_eq!(format!("{:?}", Pseudonyms::random()), "Pseudonyms(1 keys)");
    }
}

use secrecy::SecretString;

/// A configured pseudonym key of at least 128 bits, with its id.
#[derive(Debug, Clone)]
pub struct PseudonymKey {
    /// Key id, 1 to 16 letters, digits, `-` or `_`.
    pub kid: String,
    /// The key, base64url.
    pub key: SecretString,
}

/// Decodes base64url, padded or not.
///
/// # Errors
///
/// The text is not base64url.
pub fn base64url(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.trim_end_matches('='))
}
