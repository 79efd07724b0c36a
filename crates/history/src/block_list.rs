//! The block list: blocks of ranges, networks, AS, devices, clients and tenants. It also stores client capabilities and the pseudonym keys in use.

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

use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{client_ip::parse_network, sign_in::SignIn};
use riskgate_engine::{
    encoding::Reader,
    evidence::history::{Block, BlockKind, NonceStatus},
    profile::{seconds, timestamp_of},
};

/// The subject of a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockSubject {
    /// An address range. Stored in clear text, because the operator entered it and it was not observed from a user.
    Range(IpNet),
    /// The pseudonym of a network (/24 or /48), as audit lines have it.
    Network(SmolStr),
    /// An autonomous system.
    Asn(u32),
    /// The pseudonym of a device id.
    Device(SmolStr),
    /// An app client.
    Client(SmolStr),
    /// The pseudonym of a tenant.
    Tenant(SmolStr),
}

/// A block as it is stored: JSON, which other programs may read and write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// `suspend` or `exempt`.
    pub kind: BlockEntryKind,
    /// When the block expires; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// A note for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The message for the user after a correct password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<SmolStr>,
}

#[derive(Serialize)]
struct Tagged<'a> {
    #[serde(flatten)]
    entry: &'a BlockEntry,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
}

#[derive(Deserialize)]
struct KeyTag {
    #[serde(default)]
    key: Option<SmolStr>,
}

/// Prefix of the entry names of pseudonym keys in use.
pub(super) const KEY_USE: &str = "key#";

/// The use of a pseudonym key as the newest key of a serving process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key id that the operator chose.
    pub kid: SmolStr,
    /// When it was first recorded.
    pub since: Timestamp,
    /// When it was last recorded; updated once an hour.
    pub seen: Timestamp,
    /// Whether any sign-in named no pool.
    #[serde(default)]
    pub without_pool: bool,
}

/// Prefix of the entry names of findings about sessions.
pub(super) const FINDING: &str = "sessions#";

/// The findings about sessions, by user pool.
pub type SessionFindings = BTreeMap<SmolStr, SessionFinding>;

/// Why the sessions of a user pool could not be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFinding {
    /// The label of the problem.
    pub problem: SmolStr,
    /// When it was last found.
    pub at: Timestamp,
}

/// What a block does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockEntryKind {
    /// Denies sign-ins.
    Suspend,
    /// Allows sign-ins.
    Exempt,
}

/// The parsed block list.
#[derive(Debug, Default)]
pub struct BlockList {
    v4: PrefixMap<Ipv4Net, Vec<BlockEntry>>,
    v6: PrefixMap<Ipv6Net, Vec<BlockEntry>>,
    named: HashMap<BlockSubject, BlockEntry>,
    /// When each capability of a client was last observed; 1970 if the entry has no time.
    capabilities: HashMap<(ClientCapability, u32), Timestamp>,
    /// The pseudonym keys that serving processes write under, by the derived id of each key.
    pub(super) keys: BTreeMap<SmolStr, KeyUse>,
    /// Why sessions could not be looked up, by user pool.
    pub(super) findings: SessionFindings,
    /// Capabilities that this process has recorded since the list was read. Each is recorded once per read.
    recorded: Mutex<HashSet<(ClientCapability, u32)>>,
    /// Number of unreadable blocks, which have no effect.
    unreadable: usize,
}

/// A block that matches a sign-in.
#[derive(Debug)]
pub(super) struct BlockMatch {
    pub(super) block: Block,
    /// Whether token generation can also find the block.
    pub(super) scope: BlockScope,
}

/// The triggers that can evaluate a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockScope {
    /// Matched by the user, the client or the tenant, which every trigger has.
    Account,
    /// Matched by the address or the device, which only the trigger with the context has.
    Context,
}

/// Prefix of the entry names of blocks.
const BLOCK: &str = "block#";

/// A block's message is deferred to token generation only if that trigger was observed for the client within this many seconds.
const TOKENS_RECENT: u64 = 3600;

/// An observed capability of an app client. It distinguishes a failed sign-in from a trigger that is not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCapability {
    /// The client's sign-ins reach the post-authentication trigger, or its outcomes are reported.
    ReportsOutcomes,
    /// The client's tokens pass through the pre-token-generation trigger.
    IssuesTokens,
}

impl BlockSubject {
    /// The name of its entry in the list.
    pub fn entry_name(&self) -> String {
        match self {
            BlockSubject::Range(net) => format!("block#range#{net}"),
            BlockSubject::Network(name) => format!("block#network#{name}"),
            BlockSubject::Asn(asn) => format!("block#asn#{asn}"),
            BlockSubject::Device(key) => format!("block#device#{key}"),
            BlockSubject::Client(id) => format!("block#client#{id}"),
            BlockSubject::Tenant(key) => format!("block#tenant#{key}"),
        }
    }

    fn from_entry_name(name: &str) -> Option<Self> {
        let (kind, value) = name.strip_prefix(BLOCK)?.split_once('#')?;
        match kind {
            "range" => parse_network(value).ok().map(BlockSubject::Range),
            "network" => Some(BlockSubject::Network(value.into())),
            "asn" => value.parse().ok().map(BlockSubject::Asn),
            "device" => Some(BlockSubject::Device(value.into())),
            "client" => Some(BlockSubject::Client(value.into())),
            "tenant" => Some(BlockSubject::Tenant(value.into())),
            _ => None,
        }
    }
}

impl BlockEntry {
    /// Parses stored JSON; `None` if it is not a block.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The block as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a block has only strings")
    }

    /// The block as JSON for a list, with the id of the pseudonym key of its subject.
    pub(super) fn to_bytes_under(&self, key: &str) -> Vec<u8> {
        serde_json::to_vec(&Tagged { entry: self, key }).expect("a block has only strings")
    }

    /// The id of the pseudonym key of a listed block's subject. `None` for entries of earlier versions.
    pub(super) fn key_of(bytes: &[u8]) -> Option<SmolStr> {
        serde_json::from_slice::<KeyTag>(bytes).ok()?.key
    }

    /// The time until the block expires; 100 years if it never does.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        match self.until {
            Some(until) => Duration::from_secs(u64::try_from(until.as_second() - now.as_second()).unwrap_or_default()),
            None => Duration::from_secs(100 * 365 * 86_400),
        }
    }

    /// The block, if it has not expired at the given time.
    pub fn at(&self, now: Timestamp) -> Option<Block> {
        if self.until.is_some_and(|until| until <= now) {
            return None;
        }
        let kind = match self.kind {
            BlockEntryKind::Suspend => BlockKind::Suspended,
            BlockEntryKind::Exempt => BlockKind::Exempt,
        };
        Some(Block { kind, until: self.until, message: self.message.clone() })
    }
}

impl BlockList {
    pub(super) fn parse(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let mut list = BlockList::default();
        for (name, bytes) in entries {
            if let Some((capability, mark)) = ClientCapability::from_entry_name(&name) {
                list.capabilities.insert((capability, mark), ClientCapability::seen_at(&bytes));
            } else if let Some(id) = name.strip_prefix(KEY_USE) {
                list.keys.extend(serde_json::from_slice(&bytes).ok().map(|key| (id.into(), key)));
            } else if let Some(pool) = name.strip_prefix(FINDING) {
                list.findings.extend(serde_json::from_slice(&bytes).ok().map(|finding| (pool.into(), finding)));
            } else if name.starts_with(BLOCK) {
                match (BlockSubject::from_entry_name(&name), BlockEntry::from_bytes(&bytes)) {
                    (Some(BlockSubject::Range(IpNet::V4(net))), Some(entry)) => list.v4.entry(net).or_default().push(entry),
                    (Some(BlockSubject::Range(IpNet::V6(net))), Some(entry)) => list.v6.entry(net).or_default().push(entry),
                    (Some(subject), Some(entry)) => {
                        list.named.insert(subject, entry);
                    }
                    (None, _) | (_, None) => list.unreadable += 1,
                }
            }
        }
        list
    }

    /// Number of unreadable blocks, which have no effect.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The blocks that match a sign-in from an AS. Exemptions by address or device require a trusted context: unsigned claims and replayed contexts
    /// do not match them.
    pub(super) fn find_matches(&self, sign_in: &SignIn, asn: Option<u32>, nonce: NonceStatus, pseudonyms: &Pseudonyms, now: Timestamp) -> Vec<BlockMatch> {
        let account_blocks = self.account_blocks(&sign_in.client, sign_in.tenant.as_ref().map(|tenant| tenant.expose().as_str()), pseudonyms, now);
        let mut context_blocks: Vec<&BlockEntry> = match sign_in.context.ip.any() {
            Some(IpAddr::V4(ip)) => self.v4.cover(&Ipv4Net::from(ip)).flat_map(|(_, entries)| entries).collect(),
            Some(IpAddr::V6(ip)) => self.v6.cover(&Ipv6Net::from(ip)).flat_map(|(_, entries)| entries).collect(),
            None => Vec::new(),
        };
        if let (Some(ip), false) = (sign_in.context.ip.any(), self.named.is_empty()) {
            context_blocks.extend(pseudonyms.networks(ip).into_iter().filter_map(|name| self.named.get(&BlockSubject::Network(name))));
            context_blocks.extend(asn.and_then(|asn| self.named.get(&BlockSubject::Asn(asn))));
        }
        if let (Some(id), false) = (&sign_in.context.device_id, self.named.is_empty()) {
            context_blocks
                .extend(pseudonyms.records("device", &[id.expose().as_bytes()]).into_iter().filter_map(|key| self.named.get(&BlockSubject::Device(key))));
        }
        let is_trusted = nonce.is_trusted_with(&sign_in.context);
        let context_blocks = context_blocks.into_iter().filter_map(|entry| entry.at(now)).filter(|block| is_trusted || block.kind == BlockKind::Suspended);
        let account_blocks = account_blocks.into_iter().map(|block| BlockMatch { block, scope: BlockScope::Account });
        account_blocks.chain(context_blocks.map(|block| BlockMatch { block, scope: BlockScope::Context })).collect()
    }

    /// The blocks of an app client and of a tenant. The user pool provides both values.
    pub(super) fn account_blocks(&self, client: &SmolStr, tenant: Option<&str>, pseudonyms: &Pseudonyms, now: Timestamp) -> Vec<Block> {
        if self.named.is_empty() {
            return Vec::new();
        }
        let tenants = tenant.map(|tenant| pseudonyms.records("tenant", &[tenant.as_bytes()])).unwrap_or_default();
        let subjects = std::iter::once(BlockSubject::Client(client.clone())).chain(tenants.into_iter().map(BlockSubject::Tenant));
        subjects.filter_map(|subject| self.named.get(&subject)).filter_map(|entry| entry.at(now)).collect()
    }

    /// For each listed subject under an older pseudonym key: that subject, and the same one under the newest key.
    pub(super) fn find_under_older_keys(&self, keys: &[SmolStr], subject: fn(SmolStr) -> BlockSubject) -> Vec<(BlockSubject, BlockSubject)> {
        let Some((newest, older)) = keys.split_first().filter(|_| !self.named.is_empty()) else { return Vec::new() };
        let found = older.iter().cloned().map(subject).filter(|subject| self.named.contains_key(subject));
        found.map(|older| (older, subject(newest.clone()))).collect()
    }

    /// Whether a capability of a client was observed. The client is given by its short hashes under each key.
    pub(super) fn has_capability(&self, mut clients: impl Iterator<Item = u32>, capability: ClientCapability) -> bool {
        clients.any(|client| self.capabilities.contains_key(&(capability, client)))
    }

    /// Whether token generation was observed for a client recently. Only then can a block's message be deferred to it.
    pub(super) fn issues_tokens(&self, mut clients: impl Iterator<Item = u32>, now: Timestamp) -> bool {
        let is_recent = |seen: &Timestamp| seen.as_second().abs_diff(now.as_second()) < TOKENS_RECENT;
        clients.any(|client| self.capabilities.get(&(ClientCapability::IssuesTokens, client)).is_some_and(is_recent))
    }

    /// Whether to record a capability now: its entry is missing or old, and this process has not recorded it since the list was read.
    pub(super) fn is_due(&self, client: u32, capability: ClientCapability, now: Timestamp) -> bool {
        let is_current = |seen: &Timestamp| seen.as_second().abs_diff(now.as_second()) < capability.refresh_after();
        !self.capabilities.get(&(capability, client)).is_some_and(is_current)
            && self.recorded.lock().unwrap_or_else(PoisonError::into_inner).insert((capability, client))
    }
}

impl ClientCapability {
    /// The name of its entry for a client.
    pub(super) fn entry_name(self, client: u32) -> String {
        match self {
            ClientCapability::ReportsOutcomes => format!("reports#{client:08x}"),
            ClientCapability::IssuesTokens => format!("mints#{client:08x}"),
        }
    }

    fn from_entry_name(name: &str) -> Option<(Self, u32)> {
        let (capability, mark) = name.split_once('#')?;
        let capability = match capability {
            "reports" => ClientCapability::ReportsOutcomes,
            "mints" => ClientCapability::IssuesTokens,
            _ => return None,
        };
        Some((capability, u32::from_str_radix(mark, 16).ok()?))
    }

    /// The value of an entry: a one and the time of observation.
    pub(super) fn entry_value(now: Timestamp) -> Vec<u8> {
        [&[1][..], &seconds(now).to_be_bytes()].concat()
    }

    /// The time of observation. Earlier versions wrote only the one.
    fn seen_at(bytes: &[u8]) -> Timestamp {
        let mut reader = Reader(bytes);
        reader.u8().and_then(|_| reader.u32()).map(timestamp_of).unwrap_or_default()
    }

    /// Age in seconds after which the entry is written again. This avoids a write per sign-in.
    fn refresh_after(self) -> u64 {
        match self {
            ClientCapability::ReportsOutcomes => 86_400,
            ClientCapability::IssuesTokens => TOKENS_RECENT / 4,
        }
    }
}

/// The block that takes effect among several: an exemption overrides a suspension.
pub(super) fn select_effective(blocks: impl IntoIterator<Item = Block>) -> Option<Block> {
    blocks.into_iter().max_by_key(|block| block.kind == BlockKind::Exempt)
}
