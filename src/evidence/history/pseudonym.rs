//! Pseudonyms: what stands for a person, a network or a device wherever something is kept or logged.
//!
//! Every value is HMAC-SHA256 (FIPS 198-1), every mark of four bytes SipHash-2-4, under a key of its own
//! purpose, derived from the configured key in the manner of HKDF-Expand (RFC 5869), so that a store and a
//! log cannot be joined without the key. The first configured key writes; what is found under the others is
//! moved to it.

use std::{hash::Hasher as _, net::IpAddr};

use base64::Engine as _;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::ExposeSecret;
use siphasher::sip::SipHasher24;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{
    config::history::{PseudonymKey, base64url},
    evidence::features::FeatureKey,
};

/// Makes pseudonyms.
pub struct Pseudonyms {
    /// Newest first; never empty.
    generations: SmallVec<[Generation; 1]>,
}

/// A person's key in the store, under the newest key first.
pub type PersonKeys = SmallVec<[SmolStr; 1]>;

/// The keys derived from one configured key.
struct Generation {
    kid: SmolStr,
    id: SmolStr,
    features: FeatureKey,
    marks: [u8; 16],
    store: hmac::Key,
    audit: hmac::Key,
    decoy: hmac::Key,
}

// === impl Pseudonyms ===

impl Pseudonyms {
    /// Derives every purpose's key. Without a configured key one is drawn that lives as long as the process: for the memory store.
    pub fn new(keys: &[PseudonymKey]) -> Self {
        let generations: SmallVec<[Generation; 1]> =
            keys.iter().filter_map(|key| base64url(key.key.expose_secret()).ok().map(|bytes| Generation::derive(&key.kid, &bytes))).collect();
        if generations.is_empty() {
            return Self::random();
        }
        Pseudonyms { generations }
    }

    /// Pseudonyms under a key that is forgotten with the process.
    pub fn random() -> Self {
        let mut key = [0_u8; 32];
        SystemRandom::new().fill(&mut key).expect("the operating system has random bytes");
        Pseudonyms { generations: SmallVec::from_iter([Generation::derive("", &key)]) }
    }

    /// The key of what is hashed of a sign-in now.
    pub fn feature_key(&self) -> &FeatureKey {
        &self.newest().features
    }

    /// The keys under which profiles may still hold hashes, newest first.
    pub fn feature_keys(&self) -> impl Iterator<Item = &FeatureKey> {
        self.generations.iter().map(|generation| &generation.features)
    }

    /// The configured keys, newest first: what an operator calls each, and a name that is made from the key itself. A drawn key has no kid.
    pub(super) fn key_names(&self) -> impl Iterator<Item = (&SmolStr, &SmolStr)> {
        self.generations.iter().map(|generation| (&generation.kid, &generation.id))
    }

    /// Whether more than one key is configured.
    pub(super) fn has_older(&self) -> bool {
        self.generations.len() > 1
    }

    /// The keys of a person's record in the store: 22 letters of base64url each.
    pub fn person(&self, pool: &str, person: &str) -> PersonKeys {
        self.generations.iter().map(|generation| text(&generation.store, "person", &[pool.as_bytes(), person.as_bytes()], 16)).collect()
    }

    /// The keys of a network, a nonce, a device or a tenant in the store, under every configured key, newest first.
    pub(super) fn records(&self, purpose: &str, parts: &[&[u8]]) -> SmallVec<[SmolStr; 1]> {
        self.generations.iter().map(|generation| text(&generation.store, purpose, parts, 16)).collect()
    }

    /// Four bytes of a value, for the small sets of the store. A sign-in makes half a dozen, so they are of the quicker kind.
    pub(super) fn mark(&self, purpose: &str, parts: &[&[u8]]) -> u32 {
        self.newest().mark(purpose, parts)
    }

    /// The marks of a value under every configured key, newest first.
    pub(super) fn marks(&self, purpose: &str, parts: &[&[u8]]) -> SmallVec<[u32; 1]> {
        self.generations.iter().map(|generation| generation.mark(purpose, parts)).collect()
    }

    /// The key of the answers of outside services that are kept: the same in every process of a fleet.
    pub fn cache_key(&self) -> [u8; 16] {
        *tag(&self.newest().store, "cache", &[]).as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes")
    }

    /// 32 bytes to draw an invented person from: the same for a name each time, and nothing to who lacks the key.
    pub(super) fn draw(&self, pool: &str, name: &str) -> [u8; 32] {
        let tag = tag(&self.newest().decoy, "decoy", &[pool.as_bytes(), name.as_bytes()]);
        *tag.as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes")
    }

    /// A person in audit lines and the activity table: 16 letters of base64url, 96 bits.
    pub fn user(&self, pool: &str, person: &str) -> SmolStr {
        text(&self.newest().audit, "user", &[pool.as_bytes(), person.as_bytes()], 12)
    }

    /// A person in the activity table, under every configured key, newest first.
    pub(super) fn users(&self, pool: &str, person: &str) -> PersonKeys {
        self.generations.iter().map(|generation| text(&generation.audit, "user", &[pool.as_bytes(), person.as_bytes()], 12)).collect()
    }

    /// A network (/24 or /48) in audit lines.
    pub fn network(&self, ip: IpAddr) -> SmolStr {
        let network = crate::event::client_ip::network_of(ip.to_canonical());
        match network {
            IpAddr::V4(v4) => text(&self.newest().audit, "network", &[&v4.octets()], 12),
            IpAddr::V6(v6) => text(&self.newest().audit, "network", &[&v6.octets()], 12),
        }
    }

    /// A device id in audit lines.
    pub fn device(&self, id: &str) -> SmolStr {
        text(&self.newest().audit, "device", &[id.as_bytes()], 12)
    }

    fn newest(&self) -> &Generation {
        self.generations.first().expect("there is always one key")
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pseudonyms({} keys)", self.generations.len())
    }
}

// === impl Generation ===

impl Generation {
    fn mark(&self, purpose: &str, parts: &[&[u8]]) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.marks);
        spell(purpose, parts, |bytes| hasher.write(bytes));
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn derive(kid: &str, key: &[u8]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, key);
        let purpose = |name: &str| hmac::sign(&master, format!("riskgate/1/{name}").as_bytes());
        let short = |name: &str| *purpose(name).as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes");
        let keyed = |name: &str| hmac::Key::new(hmac::HMAC_SHA256, purpose(name).as_ref());
        let mut id = [0; 11];
        // Eight bytes are eleven letters.
        let _ = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(&purpose("id").as_ref()[..8], &mut id);
        let (kid, id) = (kid.into(), id.map(char::from).into_iter().collect());
        Generation {
            kid,
            id,
            features: FeatureKey::new(short("features")),
            marks: short("marks"),
            store: keyed("store"),
            audit: keyed("audit"),
            decoy: keyed("decoy"),
        }
    }
}

fn text(key: &hmac::Key, purpose: &str, parts: &[&[u8]], bytes: usize) -> SmolStr {
    let mut letters = [0; 44];
    // 32 bytes are 43 letters.
    let length = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(&tag(key, purpose, parts).as_ref()[..bytes], &mut letters);
    std::str::from_utf8(&letters[..length.unwrap_or_default()]).unwrap_or_default().into()
}

fn tag(key: &hmac::Key, purpose: &str, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    spell(purpose, parts, |bytes| context.update(bytes));
    context.sign()
}

/// Parts go in with their lengths, so that ("ab", "c") and ("a", "bc") differ.
fn spell(purpose: &str, parts: &[&[u8]], mut put: impl FnMut(&[u8])) {
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
    fn purposes_pools_and_boundaries_are_kept_apart() {
        let made = Pseudonyms::new(&[key("a", "AAAAAAAAAAAAAAAAAAAAAA")]);
        let all = [
            made.user("p", "ann"),
            made.user("q", "ann"),
            made.user("pa", "nn"),
            made.device("ann"),
            made.network("8.8.8.8".parse().unwrap()),
            made.person("p", "ann")[0].clone(),
            made.records("person2", &[b"p", b"ann"])[0].clone(),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
    }

    /// What is kept, marked, logged and invented for somebody.
    fn made_of(made: &Pseudonyms, pool: &str, name: &str, ip: &str) -> [String; 9] {
        let ip: IpAddr = ip.parse().unwrap();
        [
            made.person(pool, name)[0].to_string(),
            made.records("network", &[ip.to_string().as_bytes()])[0].to_string(),
            made.records("device", &[name.as_bytes()])[0].to_string(),
            made.mark("nonce", &[name.as_bytes()]).to_string(),
            format!("{:?}", made.draw(pool, name)),
            made.user(pool, name).to_string(),
            made.network(ip).to_string(),
            made.device(name).to_string(),
            made.feature_key().hash_of(crate::evidence::features::Level::Ip, ip.to_string().as_bytes()).to_string(),
        ]
    }

    #[test]
    fn everything_hangs_on_the_key_and_holds_nothing_in_clear() {
        let with = |text: &str| Pseudonyms::new(&[key("a", text)]);
        let (one, other) = (with("AAAAAAAAAAAAAAAAAAAAAA"), with("_____________________w"));
        let found = made_of(&one, "pool-1", "ann", "84.208.20.110");
        assert_eq!(found, made_of(&one, "pool-1", "ann", "84.208.20.110"));
        for different in [made_of(&other, "pool-1", "ann", "84.208.20.110"), made_of(&one, "pool-1", "bob", "14.162.100.3")] {
            for (at, (one, other)) in found.iter().zip(&different).enumerate() {
                assert_ne!(one, other, "{at}");
            }
        }
        assert_ne!(one.draw("pool-1", "ann"), one.draw("pool-2", "ann"));
        assert_ne!(one.cache_key(), other.cache_key());
        for made in found {
            assert!(!made.contains("ann") && !made.contains("84.208") && !made.contains("pool-1"), "{made}");
        }
    }

    /// What is stored and logged stays what it is: these were made by HMAC-SHA256 and SipHash-2-4 of another hand.
    #[test]
    fn pseudonyms_never_change() {
        let made = Pseudonyms::new(&[key("a", "AAAAAAAAAAAAAAAAAAAAAA")]);
        assert_eq!(made.person("pool", "ann")[0], "aZQoW5LpG2GppaIlk78byw");
        assert_eq!(made.user("pool", "ann"), "_zMMJrU2bpzKlu_S");
        assert_eq!(made.mark("client", &[b"pool", b"web"]), 0x9642_6889);
    }

    #[test]
    fn a_network_is_one_pseudonym_whatever_its_host() {
        let made = Pseudonyms::random();
        assert_eq!(made.network("8.8.8.8".parse().unwrap()), made.network("::ffff:8.8.8.9".parse().unwrap()));
        assert_ne!(made.network("8.8.8.8".parse().unwrap()), made.network("8.8.9.8".parse().unwrap()));
    }

    #[test]
    fn the_newest_key_writes_and_the_older_ones_are_still_found() {
        let (old, new) = (key("old", "AAAAAAAAAAAAAAAAAAAAAA"), key("new", "_____________________w"));
        let before = Pseudonyms::new(std::slice::from_ref(&old));
        let after = Pseudonyms::new(&[new, old]);
        assert_eq!(after.person("p", "ann")[1], before.person("p", "ann")[0]);
        assert_ne!(after.person("p", "ann")[0], before.person("p", "ann")[0]);
        assert_ne!(after.user("p", "ann"), before.user("p", "ann"));
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        assert_eq!(format!("{:?}", Pseudonyms::random()), "Pseudonyms(1 keys)");
    }
}
