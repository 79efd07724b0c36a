//! The history repository: the meaning of the records in a store, and the operations on them.
//!
//! `begin_attempt` records an attempt and reads the history in one parallel round. `learning` records the decision and, after a correct
//! password, updates the profile. `token` reads the facts for token generation. `admin` serves operators.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    attempt::{Attempt, AttemptKind, ClaimFlags, Origin},
    block_list::{BlockList, BlockMatch, BlockScope, BlockSubject, ClientCapability, select_effective},
    decoy::{DecoyTemplates, TemplateContribution},
    write_budget::WriteBudget,
};
use riskgate_config::pseudonym::{Pseudonyms, UserKeys};
use riskgate_config::{Config, history::Learn};
use riskgate_engine::{
    evidence::FailureReason,
    features::Features,
    network_facts::{NetworkFacts, NetworkKind},
    sign_in::{Existence, SignIn, Trigger},
};
use riskgate_engine::{
    evidence::{
        history::{BlockKind, History, NonceStatus},
        store_parts::{StorePart, UnreadParts},
    },
    profile::SignInLocation,
};
use riskgate_runtime::health::Health;
use riskgate_store::{EntryTime, List, Store, memory::Memory};

use crate::repository::{
    cached_list::{CachedList, ListParser},
    retention::Retention,
    rotation::{KeyHashes, KeyMigration, MigratedBlock},
    unproven::{MAX_IN_PROCESS, WriteAllowance},
    user_record::{MergedRecord, UserRecord},
};

pub mod admin;

pub mod challenge;

mod cached_list;

pub mod challenge_codes;

mod forgetting;

pub mod keys;

pub mod learning;

mod nonce;

pub mod outcome;

mod reported;

mod retention;

mod rotation;

pub mod session_findings;

pub mod sessions;

pub mod step_up;

#[cfg(test)]
mod tests;

pub mod token;

mod unproven;

mod user_record;

mod windows;

pub use crate::repository::{
    challenge::ChallengeResult,
    learning::{Learned, Success},
    outcome::ReportedOutcome,
    token::TokenFacts,
};

/// Seconds after which the block list is read again.
const BLOCK_LIST_MAX_AGE: i64 = 10;

/// Seconds after which the decoy templates are read again. They change slowly, and the list is longer.
const TEMPLATES_MAX_AGE: i64 = 600;

/// Reads and writes the history of sign-ins in a store.
#[derive(Debug)]
pub struct HistoryRepository {
    store: Arc<dyn Store>,
    pseudonyms: Arc<Pseudonyms>,
    health: Arc<Health>,
    retention: Retention,
    block_list: Arc<CachedList<BlockList>>,
    /// When this process last recorded its pseudonym key, and whether with a pool, in one number.
    key_recorded: AtomicI64,
    /// The finding about sessions that this process last wrote: ten-second interval, user pool, problem.
    finding_written: Mutex<Option<(i64, SmolStr, SmolStr)>>,
    templates: CachedList<DecoyTemplates>,
    unconfirmed: outcome::UnconfirmedOutcomes,
    write_budget: Arc<WriteBudget>,
    /// Attempts at names without a history that are over the write budget, with their windows and pending outcomes.
    in_process: Arc<Memory>,
}

/// An attempt without a decision, with everything that `record_decision` needs.
#[derive(Debug, Clone)]
pub struct PendingAttempt {
    keys: UserKeys,
    field: SmolStr,
    attempt: Attempt,
    origin: Origin,
    stale: Vec<SmolStr>,
    trigger: Trigger,
    /// Whether a user pool reported that it has the account.
    is_pool_user: bool,
    /// The decoy template to write for this user, if one is due.
    template: Option<TemplateContribution>,
    /// Records under older keys, which are migrated when the decision is recorded.
    migration: Option<Box<KeyMigration>>,
    migrated_blocks: Vec<MigratedBlock>,
    /// The version of the record under the newest key.
    version: u64,
    /// When that record expires, if the store reports it.
    expires_at: Option<i64>,
    /// When the user was last forgotten.
    forgotten: Option<Timestamp>,
    /// Whether the sign-in named a pool.
    has_pool: bool,
    /// The keyed hash of the pool's id.
    pool: u32,
    allowance: WriteAllowance,
    /// The record as it was read, for `LEARN=allow`: the decision updates the profile without another read.
    merged: Option<MergedRecord>,
}

impl HistoryRepository {
    /// A repository over a store.
    pub fn new(store: Arc<dyn Store>, pseudonyms: Arc<Pseudonyms>, config: &Config, health: Arc<Health>) -> Self {
        HistoryRepository {
            store,
            pseudonyms,
            health,
            retention: Retention::new(config),
            block_list: Arc::default(),
            key_recorded: AtomicI64::new(i64::MIN),
            finding_written: Mutex::default(),
            templates: CachedList::default(),
            unconfirmed: outcome::UnconfirmedOutcomes::default(),
            write_budget: Arc::default(),
            in_process: Arc::new(Memory::with_max_entries(MAX_IN_PROCESS)),
        }
    }

    /// A repository over the same store with other pseudonym keys. It shares the cached block list, because the store may be unreachable now, and
    /// the write budget.
    pub fn with_pseudonyms(&self, pseudonyms: Arc<Pseudonyms>, config: &Config) -> Self {
        let (block_list, write_budget, in_process) = (Arc::clone(&self.block_list), Arc::clone(&self.write_budget), Arc::clone(&self.in_process));
        HistoryRepository {
            block_list,
            write_budget,
            in_process,
            ..HistoryRepository::new(Arc::clone(&self.store), pseudonyms, config, Arc::clone(&self.health))
        }
    }

    /// The underlying store. Its values also serve as the second cache tier.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Records an attempt, and reads the history of the user, the address and the block list. This is one parallel round of at most three
    /// writes and, if a list is due, one read. Repeating the call for the same event has no further effect.
    ///
    /// # Errors
    ///
    /// The user record could not be read. `History::unread` names the other parts that could not be read.
    pub async fn begin_attempt(
        &self,
        sign_in: &SignIn,
        networks: &NetworkFacts,
        features: &Features,
        hour: Option<u8>,
    ) -> Result<(History, Box<PendingAttempt>), FailureReason> {
        let now = sign_in.received.wall;
        let at = sign_in.at.recorded(now);
        let (mut pending_attempt, hashes) = self.prepare_attempt(sign_in, networks, features, hour);
        self.charge_attempt(&mut pending_attempt, now);
        let windows = self.window_entries(sign_in);
        let (record, older, (velocity, velocity_failure), (nonce, nonce_failure), ()) = tokio::join!(
            self.record_attempt(&pending_attempt, now),
            self.read_older_records(&pending_attempt.keys, now),
            self.count_velocity(&windows, pending_attempt.allowance.missing_window(), EntryTime { at, now }),
            self.claim_nonce(sign_in, &pending_attempt, &hashes, now),
            self.refresh_lists(now),
        );
        let ((record, is_stored), older) = (record?, older?);
        pending_attempt.expires_at = record.expires_at;
        let mut user_record = Self::merge_records(&pending_attempt.keys, &hashes, record, &older);
        self.settle_allowance(&mut pending_attempt, &user_record, is_stored, now);
        let block_list = self.block_list.load(now);
        let block_list_expired = self.block_list.is_expired(now);
        let mut history = History { velocity, nonce, unread: self.unread_lists(), block_list_expired, ..History::default() };
        history.unread.set(StorePart::Velocity, velocity_failure);
        history.unread.set(StorePart::Nonce, nonce_failure);
        let original = user_record.attempts.iter().find(|(field, earlier)| *field != pending_attempt.field && earlier.is_retried_by(&pending_attempt.attempt));
        pending_attempt.stale = user_record.stale_fields(&pending_attempt.field, at, self.retention.pending);
        if let Some((field, _)) = original {
            pending_attempt.attempt.kind = AttemptKind::Retry;
            pending_attempt.stale.push(field.clone());
        }
        if let Some(migration) = &mut user_record.migration {
            migration.set.retain(|(field, _)| !pending_attempt.stale.contains(field));
        }
        (pending_attempt.migration, pending_attempt.version, pending_attempt.forgotten) =
            (user_record.migration.take(), user_record.version, user_record.forgotten);
        pending_attempt.migrated_blocks = self.find_migrated_blocks(&block_list, sign_in);
        if block_list.has_capability(hashes.iter().map(|hashes| hashes.client), ClientCapability::ReportsOutcomes) {
            history.velocity.account_failures = user_record.count_failures(at);
        }
        history.concurrent = user_record.concurrent_sightings(&pending_attempt.attempt, at, self.retention.pending);
        history.block = self.effective_block(&user_record, &block_list, (sign_in, networks.asn), nonce, &hashes);
        let merged = user_record.into_merged(&pending_attempt.origin, now, at, self.retention.history);
        if sign_in.user.existence == Existence::NotFound {
            history.profile = self.decoy(sign_in, &pending_attempt.origin, now);
        } else {
            // A profile becomes a template on a success, because before it the profile lacks the latest sign-in.
            pending_attempt.template = if merged.profile.is_new() { self.template_contribution(&pending_attempt.keys, &merged.profile, now) } else { None };
            history.profile.clone_from(&merged.profile);
        }
        pending_attempt.merged = Some(merged).filter(|_| self.retention.learn == Learn::Allow && self.store.never_shortens_ttl());
        Ok((history, Box::new(pending_attempt)))
    }

    /// Reads the history without recording an attempt, for `riskgate assess`. Omits velocity, because reading it adds an entry.
    ///
    /// # Errors
    ///
    /// The user record could not be read.
    pub async fn read_history(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features) -> Result<History, FailureReason> {
        let now = sign_in.received.wall;
        let at = sign_in.at.recorded(now);
        let (pending_attempt, hashes) = self.prepare_attempt(sign_in, networks, features, None);
        let (record, older, ()) =
            tokio::join!(self.store.get_record(&pending_attempt.keys[0], now), self.read_older_records(&pending_attempt.keys, now), self.refresh_lists(now));
        let mut user_record = Self::merge_records(&pending_attempt.keys, &hashes, record?, &older?);
        user_record.release_unjudged(now);
        let block_list = self.block_list.load(now);
        let block = self.effective_block(&user_record, &block_list, (sign_in, networks.asn), NonceStatus::New, &hashes);
        let concurrent = user_record.concurrent_sightings(&pending_attempt.attempt, at, self.retention.pending);
        let profile = match sign_in.user.existence {
            Existence::Known => user_record.into_profile(&pending_attempt.origin, at, self.retention.history),
            Existence::NotFound => self.decoy(sign_in, &pending_attempt.origin, now),
        };
        let block_list_expired = self.block_list.is_expired(now);
        Ok(History { profile, block, concurrent, unread: self.unread_lists(), block_list_expired, ..History::default() })
    }

    /// The history of a sign-in from an AS without access to the store: blocks from the cached lists.
    pub fn history_without_record(&self, sign_in: &SignIn, asn: Option<u32>, cause: FailureReason) -> History {
        let now = sign_in.received.wall;
        let nonce = if sign_in.context.nonce.is_some() { NonceStatus::Unchecked } else { NonceStatus::New };
        let hashes = self.hash_event(&sign_in.pool, &sign_in.client, None, None);
        let user_record = UserRecord::parse(&riskgate_store::Record::default());
        let block = self.effective_block(&user_record, &self.block_list.load(now), (sign_in, asn), nonce, &hashes);
        let mut unread = self.unread_lists();
        if !self.has_blocks(now) {
            unread.set(StorePart::BlockList, Some(cause));
        }
        unread.set(StorePart::Nonce, Some(cause).filter(|_| nonce == NonceStatus::Unchecked));
        History { block, nonce, unread, block_list_expired: self.block_list.is_expired(now), ..History::default() }
    }

    fn unread_lists(&self) -> UnreadParts {
        let mut unread = UnreadParts::default();
        unread.set(StorePart::BlockList, self.block_list.cause());
        unread.set(StorePart::Templates, self.templates.cause());
        unread
    }

    fn prepare_attempt(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features, hour: Option<u8>) -> (PendingAttempt, rotation::HashesByKey) {
        let at = sign_in.at.recorded(sign_in.received.wall);
        let older = self.pseudonyms.feature_keys().skip(1).map(|key| Features::of(sign_in, networks, key));
        let claim = ClaimFlags {
            is_ipv6: sign_in.context.ip.public().is_some_and(|ip| ip.is_ipv6()),
            is_trusted: sign_in.context.is_trusted(),
            is_anonymous: networks.kind != NetworkKind::default(),
            is_verified: false,
        };
        let origin = Origin { features: std::iter::once(*features).chain(older).collect(), sighting: Some(SignInLocation::rounded(at, networks)), claim };
        let number: [u8; 6] = rand::random();
        let event = match sign_in.trigger {
            Trigger::PreAuthentication | Trigger::DefineAuthChallenge => Some(sign_in.raw.text().as_bytes()),
            // Callers of the sidecar do not retry: each request is a new attempt.
            Trigger::Http | Trigger::Replay | Trigger::Session => None,
        };
        let hashes = self.hash_event(&sign_in.pool, &sign_in.client, sign_in.context.nonce.as_deref(), event);
        let KeyHashes { client, nonce, event } = hashes[0];
        let attempt = Attempt {
            at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            event: event.unwrap_or_else(rand::random),
            origin: self.pseudonyms.short_hash("origin", &[&origin.to_bytes()]),
            client,
            nonce,
            hour,
            kind: AttemptKind::Original,
            decision: None,
            id: None,
        };
        let pending_attempt = PendingAttempt {
            keys: self.pseudonyms.record_keys(&sign_in.pool, &sign_in.user),
            field: user_record::field('a', &number),
            attempt,
            origin,
            stale: Vec::new(),
            trigger: sign_in.trigger,
            is_pool_user: event.is_some() && sign_in.user.existence == Existence::Known,
            template: None,
            migration: None,
            migrated_blocks: Vec::new(),
            version: 0,
            expires_at: None,
            forgotten: None,
            has_pool: !sign_in.pool.is_empty(),
            pool: self.pool_hash(&sign_in.pool),
            allowance: WriteAllowance::new(sign_in),
            merged: None,
        };
        (pending_attempt, hashes)
    }

    /// Blocks of the network, the device and the tenant that the list has under an older key only.
    fn find_migrated_blocks(&self, block_list: &BlockList, sign_in: &SignIn) -> Vec<MigratedBlock> {
        if !self.pseudonyms.has_older() {
            return Vec::new();
        }
        let device = sign_in.context.device_id.as_ref().map(|id| self.pseudonyms.records("device", &[id.expose().as_bytes()])).unwrap_or_default();
        let network = sign_in.context.ip.any().map(|ip| self.pseudonyms.networks(ip)).unwrap_or_default();
        let device_blocks = block_list.find_under_older_keys(&device, BlockSubject::Device).into_iter();
        let context_blocks = device_blocks.chain(block_list.find_under_older_keys(&network, BlockSubject::Network));
        let tenant_blocks = self.find_migrated_tenant(block_list, sign_in.tenant.as_ref().map(|tenant| tenant.expose().as_str()));
        context_blocks.map(|(from, to)| MigratedBlock { from, to }).chain(tenant_blocks).collect()
    }

    fn find_migrated_tenant(&self, block_list: &BlockList, tenant: Option<&str>) -> Vec<MigratedBlock> {
        let keys = tenant.filter(|_| self.pseudonyms.has_older()).map(|tenant| self.pseudonyms.records("tenant", &[tenant.as_bytes()])).unwrap_or_default();
        block_list.find_under_older_keys(&keys, BlockSubject::Tenant).into_iter().map(|(from, to)| MigratedBlock { from, to }).collect()
    }

    /// The block that takes effect at this trigger. A suspension with a message is deferred to token generation, after the password check, but
    /// only if that trigger can find the block and was observed for this client recently. Otherwise the suspension takes effect here.
    fn effective_block(
        &self,
        user_record: &UserRecord,
        block_list: &BlockList,
        (sign_in, asn): (&SignIn, Option<u32>),
        nonce: NonceStatus,
        hashes: &[KeyHashes],
    ) -> Option<riskgate_engine::evidence::history::Block> {
        let now = sign_in.received.wall;
        let user_block = user_record.block.as_ref().and_then(|entry| entry.at(now)).map(|block| BlockMatch { block, scope: BlockScope::Account });
        let matches = block_list.find_matches(sign_in, asn, nonce, &self.pseudonyms, now).into_iter().chain(user_block);
        let is_cognito = matches!(sign_in.trigger, Trigger::PreAuthentication | Trigger::DefineAuthChallenge);
        let issues_tokens = is_cognito && block_list.issues_tokens(hashes.iter().map(|hashes| hashes.client), now);
        let is_deferred = |found: &BlockMatch| {
            issues_tokens && found.scope == BlockScope::Account && found.block.kind == BlockKind::Suspended && found.block.message.is_some()
        };
        select_effective(matches.filter(|found| !is_deferred(found)).map(|found| found.block))
    }

    /// Reads the lists that are due. After the first sign-in of an instance, each call reads at most one list.
    async fn refresh_lists(&self, now: Timestamp) {
        let is_first = self.block_list.queried_at.load(Ordering::Acquire) == i64::MIN;
        let is_read = self
            .block_list
            .refresh(&*self.store, List::BlockList, BLOCK_LIST_MAX_AGE, ListParser { parse: BlockList::parse, is_complete: |list| list.unreadable() == 0 }, now)
            .await;
        if is_read && let Some(at) = self.block_list.read_at() {
            self.health.store.set_block_list_read(at);
        }
        if is_first || !is_read {
            self.templates
                .refresh(&*self.store, List::DecoyTemplates, TEMPLATES_MAX_AGE, ListParser { parse: DecoyTemplates::parse, is_complete: |_| true }, now)
                .await;
        }
    }

    /// The decoy profile of an unknown user, in the hashes of the newest key.
    fn decoy(&self, sign_in: &SignIn, origin: &Origin, now: Timestamp) -> riskgate_engine::profile::Profile {
        let mut profile = self.templates.load(now).draw_profile(self.pseudonyms.decoy_seed(&sign_in.pool, sign_in.user.key()));
        if let Some((newest, older)) = origin.features.split_first() {
            older.iter().for_each(|older| profile.rehash(older, newest));
        }
        profile
    }

    fn template_contribution(&self, keys: &UserKeys, profile: &riskgate_engine::profile::Profile, now: Timestamp) -> Option<TemplateContribution> {
        self.templates.load(now).contribute(self.template_mark(&keys[0]), profile, now)
    }

    fn template_mark(&self, key: &str) -> u32 {
        self.pseudonyms.short_hash("shape", &[key.as_bytes()])
    }

    /// Writes a decoy template. Best effort: if the write fails, decoys use the other templates.
    async fn write_template(&self, template: Option<&TemplateContribution>, now: Timestamp) {
        if let Some(contribution) = template {
            self.templates.load(now).mark_written(contribution);
            let (name, bytes) = contribution.entry();
            self.report_write(
                StorePart::TemplateWrite,
                self.store.put_list_entry(List::DecoyTemplates, &name, bytes, now.checked_add(self.retention.history).ok()),
            )
            .await;
        }
    }

    /// Whether a block list was read that has not become too old.
    fn has_blocks(&self, now: Timestamp) -> bool {
        self.block_list.read_at().is_some() && !self.block_list.is_expired(now)
    }
}
