//! What operators have decided about ranges, devices, clients and tenants, and what clients have been seen to do.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use prefix_trie::PrefixMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{
    Block, BlockKind, Nonce, Pseudonyms,
    encoding::Reader,
    profile::{moment, seconds},
};
use crate::{config::decision::cidr, event::SignIn};

/// Whom a block concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An address range. Kept in clear: the operator's own word, not something observed of a person.
    Range(IpNet),
    /// A device id, by its pseudonym.
    Device(SmolStr),
    /// An app client.
    Client(SmolStr),
    /// A tenant, by its pseudonym.
    Tenant(SmolStr),
}

/// A block as it is stored: JSON, for others to read and write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `suspend` or `exempt`.
    pub kind: EntryKind,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What the person is told once the password was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<SmolStr>,
}

#[derive(Serialize)]
struct Tagged<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
}

#[derive(Deserialize)]
struct KeyTag {
    #[serde(default)]
    key: Option<SmolStr>,
}

/// What the entry of a pseudonym key in use starts with.
pub(super) const KEY_USE: &str = "key#";

/// When a pseudonym key was the first of a serving process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// What the operator calls it.
    pub kid: SmolStr,
    /// Since when.
    pub since: Timestamp,
    /// When it was last recorded; once an hour.
    pub seen: Timestamp,
    /// Whether a sign-in named no pool.
    #[serde(default)]
    pub without_pool: bool,
}

/// What a block does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Keeps out.
    Suspend,
    /// Lets in.
    Exempt,
}

/// The shared list, read once and looked up often.
#[derive(Debug, Default)]
pub struct Shared {
    v4: PrefixMap<Ipv4Net, Vec<Entry>>,
    v6: PrefixMap<Ipv6Net, Vec<Entry>>,
    named: HashMap<Subject, Entry>,
    /// When each client was last seen to do something; 1970 for an entry that does not say when.
    capabilities: HashMap<(Deed, u32), Timestamp>,
    /// The keys under which serving processes write, by the name that is made from each.
    pub(super) keys: BTreeMap<SmolStr, KeyUse>,
    /// What this process has recorded since the list was read: until it is read again, once is enough.
    recorded: Mutex<HashSet<(Deed, u32)>>,
    /// Blocks that could not be read, and so are not in force.
    unreadable: usize,
}

/// A block that matches a sign-in, and by what.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) block: Block,
    /// Whether token generation can find it too.
    pub(super) scope: Scope,
}

/// Where a block can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// By the person, the client or the tenant: at each trigger.
    Account,
    /// By the address or the device: only at the trigger that has the context.
    Context,
}

/// How the names of blocks begin in a list.
const BLOCK: &str = "block#";

/// A message waits for token generation only while that trigger was seen for the client within so many seconds.
const TOKENS_RECENT: u64 = 3600;

/// What a client has been seen to do, by which a missing trigger is told from a failed sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Post-authentications arrive from it.
    Reports,
    /// Its tokens pass through pre token generation.
    Mints,
}

// === impl Subject ===

impl Subject {
    /// Its name in the list.
    pub fn entry_name(&self) -> String {
        match self {
            Subject::Range(net) => format!("block#range#{net}"),
            Subject::Device(key) => format!("block#device#{key}"),
            Subject::Client(id) => format!("block#client#{id}"),
            Subject::Tenant(key) => format!("block#tenant#{key}"),
        }
    }

    fn from_entry_name(name: &str) -> Option<Self> {
        let (kind, value) = name.strip_prefix(BLOCK)?.split_once('#')?;
        match kind {
            "range" => cidr(value).ok().map(Subject::Range),
            "device" => Some(Subject::Device(value.into())),
            "client" => Some(Subject::Client(value.into())),
            "tenant" => Some(Subject::Tenant(value.into())),
            _ => None,
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Reads stored JSON; what is not a block is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The JSON that is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a block has only strings")
    }

    /// The JSON that is stored in a list, with the id of the key under which its subject is named.
    pub(super) fn to_bytes_under(&self, key: &str) -> Vec<u8> {
        serde_json::to_vec(&Tagged { entry: self, key }).expect("a block has only strings")
    }

    /// The id of the key under which a listed block's subject is named; earlier versions wrote none.
    pub(super) fn key_of(bytes: &[u8]) -> Option<SmolStr> {
        serde_json::from_slice::<KeyTag>(bytes).ok()?.key
    }

    /// How long it is in force yet; one without an end outlasts every history.
    pub(super) fn lasts(&self, now: Timestamp) -> Duration {
        match self.until {
            Some(until) => Duration::from_secs(u64::try_from(until.as_second() - now.as_second()).unwrap_or_default()),
            None => Duration::from_secs(100 * 365 * 86_400),
        }
    }

    /// The block in force at a moment.
    pub fn at(&self, now: Timestamp) -> Option<Block> {
        if self.until.is_some_and(|until| until <= now) {
            return None;
        }
        let kind = match self.kind {
            EntryKind::Suspend => BlockKind::Suspended,
            EntryKind::Exempt => BlockKind::Exempt,
        };
        Some(Block { kind, until: self.until, message: self.message.clone() })
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn read(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let mut shared = Shared::default();
        for (name, bytes) in entries {
            if let Some((deed, mark)) = Deed::from_entry_name(&name) {
                shared.capabilities.insert((deed, mark), Deed::seen_at(&bytes));
            } else if let Some(id) = name.strip_prefix(KEY_USE) {
                shared.keys.extend(serde_json::from_slice(&bytes).ok().map(|key| (id.into(), key)));
            } else if name.starts_with(BLOCK) {
                match (Subject::from_entry_name(&name), Entry::from_bytes(&bytes)) {
                    (Some(Subject::Range(IpNet::V4(net))), Some(entry)) => shared.v4.entry(net).or_default().push(entry),
                    (Some(Subject::Range(IpNet::V6(net))), Some(entry)) => shared.v6.entry(net).or_default().push(entry),
                    (Some(subject), Some(entry)) => {
                        shared.named.insert(subject, entry);
                    }
                    (None, _) | (_, None) => shared.unreadable += 1,
                }
            }
        }
        shared
    }

    /// How many blocks could not be read, and so are not in force.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The blocks that match a sign-in; an exemption that rests on an unsigned claim, or on a copied context, is none (invariant 4).
    pub(super) fn matching(&self, sign_in: &SignIn, nonce: Nonce, pseudonyms: &Pseudonyms, now: Timestamp) -> Vec<Match> {
        let of_account = self.of_account(&sign_in.client, sign_in.tenant.as_ref().map(|tenant| tenant.expose().as_str()), pseudonyms, now);
        let mut of_context: Vec<&Entry> = match sign_in.context.ip.any() {
            Some(IpAddr::V4(ip)) => self.v4.cover(&Ipv4Net::from(ip)).flat_map(|(_, entries)| entries).collect(),
            Some(IpAddr::V6(ip)) => self.v6.cover(&Ipv6Net::from(ip)).flat_map(|(_, entries)| entries).collect(),
            None => Vec::new(),
        };
        if let (Some(id), false) = (&sign_in.context.device_id, self.named.is_empty()) {
            of_context.extend(pseudonyms.records("device", &[id.expose().as_bytes()]).into_iter().filter_map(|key| self.named.get(&Subject::Device(key))));
        }
        let believed = nonce.believes(&sign_in.context);
        let of_context = of_context.into_iter().filter_map(|entry| entry.at(now)).filter(|block| believed || block.kind == BlockKind::Suspended);
        let of_account = of_account.into_iter().map(|block| Match { block, scope: Scope::Account });
        of_account.chain(of_context.map(|block| Match { block, scope: Scope::Context })).collect()
    }

    /// The blocks of an app client and of a tenant: what the pool itself says.
    pub(super) fn of_account(&self, client: &SmolStr, tenant: Option<&str>, pseudonyms: &Pseudonyms, now: Timestamp) -> Vec<Block> {
        if self.named.is_empty() {
            return Vec::new();
        }
        let tenants = tenant.map(|tenant| pseudonyms.records("tenant", &[tenant.as_bytes()])).unwrap_or_default();
        let subjects = std::iter::once(Subject::Client(client.clone())).chain(tenants.into_iter().map(Subject::Tenant));
        subjects.filter_map(|subject| self.named.get(&subject)).filter_map(|entry| entry.at(now)).collect()
    }

    /// The subject under the newest key where only an older one's is in the list.
    pub(super) fn under_older_key(&self, keys: &[SmolStr], subject: fn(SmolStr) -> Subject) -> Vec<(Subject, Subject)> {
        let Some((newest, older)) = keys.split_first().filter(|_| !self.named.is_empty()) else { return Vec::new() };
        let found = older.iter().cloned().map(subject).filter(|subject| self.named.contains_key(subject));
        found.map(|older| (older, subject(newest.clone()))).collect()
    }

    /// Whether a client, by its marks under any key, has been seen to do something.
    pub(super) fn has_seen(&self, mut clients: impl Iterator<Item = u32>, deed: Deed) -> bool {
        clients.any(|client| self.capabilities.contains_key(&(deed, client)))
    }

    /// Whether token generation was seen for a client recently, so that a block's message can wait for it.
    pub(super) fn makes_tokens(&self, mut clients: impl Iterator<Item = u32>, now: Timestamp) -> bool {
        let is_recent = |seen: &Timestamp| seen.as_second().abs_diff(now.as_second()) < TOKENS_RECENT;
        clients.any(|client| self.capabilities.get(&(Deed::Mints, client)).is_some_and(is_recent))
    }

    /// Whether a capability is to be recorded now: it is not in the list, or is there under a moment that is too old.
    pub(super) fn is_due(&self, client: u32, deed: Deed, now: Timestamp) -> bool {
        let is_current = |seen: &Timestamp| seen.as_second().abs_diff(now.as_second()) < deed.refresh_after();
        !self.capabilities.get(&(deed, client)).is_some_and(is_current) && self.recorded.lock().unwrap_or_else(PoisonError::into_inner).insert((deed, client))
    }
}

// === impl Deed ===

impl Deed {
    /// The name of its entry for a client.
    pub(super) fn entry_name(self, client: u32) -> String {
        match self {
            Deed::Reports => format!("reports#{client:08x}"),
            Deed::Mints => format!("mints#{client:08x}"),
        }
    }

    fn from_entry_name(name: &str) -> Option<(Self, u32)> {
        let (deed, mark) = name.split_once('#')?;
        let deed = match deed {
            "reports" => Deed::Reports,
            "mints" => Deed::Mints,
            _ => return None,
        };
        Some((deed, u32::from_str_radix(mark, 16).ok()?))
    }

    /// What the entry holds: a one, and when the client was seen.
    pub(super) fn entry_value(now: Timestamp) -> Vec<u8> {
        [&[1][..], &seconds(now).to_be_bytes()].concat()
    }

    /// When the client was seen; earlier versions wrote the one alone.
    fn seen_at(bytes: &[u8]) -> Timestamp {
        let mut reader = Reader(bytes);
        reader.u8().and_then(|_| reader.u32()).map(moment).unwrap_or_default()
    }

    /// The entry is written again when it is older than so many seconds: often enough for what rests on its age, and no write a sign-in.
    fn refresh_after(self) -> u64 {
        match self {
            Deed::Reports => 86_400,
            Deed::Mints => TOKENS_RECENT / 4,
        }
    }
}

/// Who wins among several: an exemption, then a suspension.
pub(super) fn strongest(blocks: impl IntoIterator<Item = Block>) -> Option<Block> {
    blocks.into_iter().max_by_key(|block| block.kind == BlockKind::Exempt)
}
