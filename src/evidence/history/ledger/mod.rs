//! The ledger: what the records of a store mean, and every operation on them.
//!
//! `begin` records an attempt and reads what is known in one parallel round; `conclude` adds the
//! verdict; `learning` promotes an attempt once its password was right; `token` reads what became of it;
//! `desk` is for operators.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use super::{
    BlockKind, History, Nonce, Pseudonyms, Velocity,
    attempt::{Attempt, Copied, Origin},
    blocks::{Deed, Match, Scope, Shared, Subject, strongest},
    decoy::{Loan, Shapes},
    profile::Sighting,
    pseudonym::PersonKeys,
    store::{Change, Keep, List, Mark, MarkTime, Store},
    unread::{Part, Unread},
    velocity,
};
use crate::{
    config::{Config, history::Learn},
    event::{
        Existence, SignIn, Trigger,
        client_ip::{host_of, network_of},
        context,
    },
    evidence::{Cause, Features, NetworkFacts, health::Health},
};

mod cached_list;

mod dossier;

mod forgetting;

mod outcome;

mod reported;

mod rotation;

pub mod keys;

pub mod desk;

pub mod learning;

pub mod token;

use self::{
    cached_list::{CachedList, Reading},
    dossier::{Dossier, Ground},
    rotation::{KeyMarks, MovedBlock, Moving},
};
pub use self::{
    learning::{Learned, Success},
    outcome::Report,
    token::TokenFacts,
};

/// The shared list is read again after so many seconds.
const LIST_AGE: i64 = 10;

/// The shapes of histories, which change slowly and are a longer read.
const SHAPES_AGE: i64 = 600;

/// A record that holds nothing but attempts is kept a day beyond them, so that it does not vanish between attempt and success.
const SLACK: Duration = Duration::from_secs(86_400);

/// What the records of a store mean.
#[derive(Debug)]
pub struct Ledger {
    store: Arc<dyn Store>,
    pseudonyms: Arc<Pseudonyms>,
    health: Arc<Health>,
    terms: Terms,
    shared: Arc<CachedList<Shared>>,
    /// When, and with what, this process last recorded its key.
    key_recorded: AtomicI64,
    shapes: CachedList<Shapes>,
    unconfirmed: outcome::Unconfirmed,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
struct Terms {
    history: Duration,
    pending: Duration,
    nonce: Duration,
    hold: Duration,
    learn: Learn,
}

/// An attempt in hand: what its verdict is recorded under.
#[derive(Debug, Clone)]
pub struct Ticket {
    keys: PersonKeys,
    field: SmolStr,
    attempt: Attempt,
    origin: Origin,
    stale: Vec<SmolStr>,
    door: Trigger,
    /// The shape of this history, when it is to be kept for others to be invented from.
    shape: Option<Loan>,
    /// What was found under older keys; it is moved with the verdict.
    moving: Option<Box<Moving>>,
    moved_blocks: Vec<MovedBlock>,
    /// The newest record's version.
    version: u64,
    /// When the person had last been forgotten.
    forgotten: Option<Timestamp>,
    /// Whether the sign-in named a pool.
    has_pool: bool,
    /// The record as it was read, where the verdict itself teaches: it need not be read again.
    ground: Option<Ground>,
}

/// The keys of a network's window and of an address's.
type Windows = [SmolStr; 2];

impl Ledger {
    /// A ledger over a store.
    pub fn new(store: Arc<dyn Store>, pseudonyms: Arc<Pseudonyms>, config: &Config, health: Arc<Health>) -> Self {
        let terms = Terms {
            history: config.history.ttl,
            pending: config.history.pending_ttl,
            nonce: context::nonce_ttl(config.trust.context_max_age),
            hold: config.token.review_hold,
            learn: config.history.learn,
        };
        Ledger {
            store,
            pseudonyms,
            health,
            terms,
            shared: Arc::default(),
            key_recorded: AtomicI64::new(i64::MIN),
            shapes: CachedList::default(),
            unconfirmed: outcome::Unconfirmed::default(),
        }
    }

    /// The same ledger under other pseudonym keys. The list of blocks stays in force: the store may be unreachable now.
    pub fn with_pseudonyms(&self, pseudonyms: Arc<Pseudonyms>, config: &Config) -> Self {
        let shared = Arc::clone(&self.shared);
        Ledger { shared, ..Ledger::new(Arc::clone(&self.store), pseudonyms, config, Arc::clone(&self.health)) }
    }

    /// The store underneath: its `keep` and `fetch` are the second cache tier.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Records an attempt, and reads what is known of the person, the address and the blocks: one parallel round
    /// of at most three writes and, when the lists are due, one read. Doing it twice does no more than doing it once.
    ///
    /// # Errors
    ///
    /// The person's record could not be read. `History::unread` names what else could not.
    pub async fn begin(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features, hour: Option<u8>) -> Result<(History, Ticket), Cause> {
        let now = sign_in.received.wall;
        let at = sign_in.at.recorded(now);
        let (mut opened, marks) = self.open(sign_in, networks, features, hour);
        let change = Change {
            set: vec![(opened.field.clone(), opened.attempt.to_field()), (Origin::field(opened.attempt.origin), opened.origin.to_bytes())],
            remove: Vec::new(),
            keep: Keep::Least(self.terms.pending + SLACK),
        };
        let windows = self.mark_windows(sign_in);
        let (record, older, (velocity, velocity_cause), (nonce, nonce_cause), ()) = tokio::join!(
            self.store.change(&opened.keys[0], change, now),
            self.read_older(&opened.keys, now),
            self.velocity(&windows, MarkTime { at, now }),
            self.claim(sign_in, &opened, &marks, now),
            self.refresh(now),
        );
        let mut dossier = Self::dossier(&opened.keys, &marks, record?, &older?);
        let shared = self.shared.load(now);
        let block_list_expired = self.shared.is_expired(now);
        let mut history = History { velocity, nonce, unread: self.unread_lists(), block_list_expired, ..History::default() };
        history.unread.set(Part::Velocity, velocity_cause);
        history.unread.set(Part::Nonce, nonce_cause);
        let repeated = dossier.attempts.iter().find(|(field, earlier)| *field != opened.field && earlier.is_repeated_by(&opened.attempt));
        opened.stale = dossier.stale(&opened.field, at, self.terms.pending);
        if let Some((field, _)) = repeated {
            opened.attempt.copy = Copied::Retry;
            opened.stale.push(field.clone());
        }
        if let Some(moving) = &mut dossier.moving {
            moving.set.retain(|(field, _)| !opened.stale.contains(field));
        }
        (opened.moving, opened.version, opened.forgotten) = (dossier.moving.take(), dossier.version, dossier.forgotten);
        opened.moved_blocks = self.moved_blocks(&shared, sign_in);
        if shared.has_seen(marks.iter().map(|marks| marks.client), Deed::Reports) {
            history.velocity.account_failures = dossier.failures(at);
        }
        history.concurrent = dossier.elsewhere(&opened.attempt, at, self.terms.pending);
        history.block = self.block_of(&dossier, &shared, sign_in, nonce, &marks);
        let ground = dossier.into_ground(&opened.origin, now, at, self.terms.history);
        if sign_in.person.existence == Existence::NotFound {
            history.profile = self.decoy(sign_in, &opened.origin, now);
        } else {
            // A history is lent with a success: before it, what is lent would always lack the latest one.
            opened.shape = if ground.profile.is_new() { self.shape(&opened.keys, &ground.profile, now) } else { None };
            history.profile.clone_from(&ground.profile);
        }
        opened.ground = Some(ground).filter(|_| self.terms.learn == Learn::Allow && self.store.only_lengthens());
        Ok((history, opened))
    }

    /// Reads what is known without recording anything: for `riskgate assess`. Counters are not read, since reading them counts.
    ///
    /// # Errors
    ///
    /// The person's record could not be had.
    pub async fn peek(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features) -> Result<History, Cause> {
        let now = sign_in.received.wall;
        let at = sign_in.at.recorded(now);
        let (ticket, marks) = self.open(sign_in, networks, features, None);
        let (record, older, ()) = tokio::join!(self.store.read(&ticket.keys[0], now), self.read_older(&ticket.keys, now), self.refresh(now));
        let dossier = Self::dossier(&ticket.keys, &marks, record?, &older?);
        let shared = self.shared.load(now);
        let block = self.block_of(&dossier, &shared, sign_in, Nonce::New, &marks);
        let concurrent = dossier.elsewhere(&ticket.attempt, at, self.terms.pending);
        let profile = match sign_in.person.existence {
            Existence::Known => dossier.into_profile(&ticket.origin, at, self.terms.history),
            Existence::NotFound => self.decoy(sign_in, &ticket.origin, now),
        };
        let block_list_expired = self.shared.is_expired(now);
        Ok(History { profile, block, concurrent, unread: self.unread_lists(), block_list_expired, ..History::default() })
    }

    /// What is known without the store: the blocks of the lists that were read last.
    pub fn without_record(&self, sign_in: &SignIn, cause: Cause) -> History {
        let now = sign_in.received.wall;
        let nonce = if sign_in.context.nonce.is_some() { Nonce::Unchecked } else { Nonce::New };
        let marks = self.marks_of(&sign_in.pool, &sign_in.client, None, None);
        let dossier = Dossier::read(&super::store::Record::default());
        let block = self.block_of(&dossier, &self.shared.load(now), sign_in, nonce, &marks);
        let mut unread = self.unread_lists();
        if !self.has_blocks(now) {
            unread.set(Part::BlockList, Some(cause));
        }
        unread.set(Part::Nonce, Some(cause).filter(|_| nonce == Nonce::Unchecked));
        History { block, nonce, unread, block_list_expired: self.shared.is_expired(now), ..History::default() }
    }

    fn unread_lists(&self) -> Unread {
        let mut unread = Unread::default();
        unread.set(Part::BlockList, self.shared.cause());
        unread.set(Part::Templates, self.shapes.cause());
        unread
    }

    fn open(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features, hour: Option<u8>) -> (Ticket, rotation::Marks) {
        let at = sign_in.at.recorded(sign_in.received.wall);
        let older = self.pseudonyms.feature_keys().skip(1).map(|key| Features::of(sign_in, networks, key));
        let origin = Origin { features: std::iter::once(*features).chain(older).collect(), sighting: Some(Sighting::rounded(at, networks)) };
        let number: [u8; 6] = rand::random();
        let event = match sign_in.trigger {
            Trigger::PreAuthentication => Some(sign_in.raw.text().as_bytes()),
            // A sidecar's caller does not repeat itself: each request is an attempt of its own.
            Trigger::Http | Trigger::Replay => None,
        };
        let marks = self.marks_of(&sign_in.pool, &sign_in.client, sign_in.context.nonce.as_deref(), event);
        let KeyMarks { client, nonce, event } = marks[0];
        let attempt = Attempt {
            at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            event: event.unwrap_or_else(rand::random),
            origin: self.pseudonyms.mark("origin", &[&origin.to_bytes()]),
            client,
            nonce,
            hour,
            copy: Copied::Original,
            answer: None,
            id: None,
        };
        let ticket = Ticket {
            keys: self.pseudonyms.person(&sign_in.pool, sign_in.person.key()),
            field: dossier::field('a', &number),
            attempt,
            origin,
            stale: Vec::new(),
            door: sign_in.trigger,
            shape: None,
            moving: None,
            moved_blocks: Vec::new(),
            version: 0,
            forgotten: None,
            has_pool: !sign_in.pool.is_empty(),
            ground: None,
        };
        (ticket, marks)
    }

    /// Accounts seen from the address and its network, which are marked under every key: a rotation starts no count anew.
    async fn velocity(&self, windows: &[(Windows, Mark)], time: MarkTime) -> (Velocity, Option<Cause>) {
        let marked = async |(windows, own): &(Windows, Mark)| {
            let mark = Mark { host: 0, ..*own };
            match self.store.mark(windows, mark, time).await {
                Ok(marked) => {
                    let marks = |at: usize| marked.get(at).map_or(&[][..], |marks| marks.as_slice());
                    (velocity::accounts(*own, marks(0), marks(1)), None)
                }
                Err(cause) => (Velocity::default(), Some(cause)),
            }
        };
        match windows {
            [] => (Velocity::default(), None),
            [one] => marked(one).await,
            several => {
                let counted = futures_util::future::join_all(several.iter().map(marked)).await.into_iter();
                counted.reduce(|(one, cause), (other, another)| (one.max(other), cause.or(another))).unwrap_or_default()
            }
        }
    }

    /// The windows of the network and of the address, and this sign-in's mark, under every key. Trusted and claimed addresses are counted apart:
    /// a stranger can claim any address, and must not taint it.
    fn mark_windows(&self, sign_in: &SignIn) -> SmallVec<[(Windows, Mark); 1]> {
        let Some(ip) = sign_in.context.ip.public() else { return SmallVec::new() };
        let (network, host) = (written(network_of(ip)), written(host_of(ip)));
        let purpose = if sign_in.context.is_believed() { "network" } else { "claimed network" };
        let keys = self.pseudonyms.records(purpose, &[network.as_bytes()]);
        let accounts = self.pseudonyms.marks("account", &[sign_in.pool.as_bytes(), sign_in.person.key().as_bytes()]);
        let hosts = self.pseudonyms.marks("host", &[host.as_bytes()]);
        let marks = accounts.into_iter().zip(hosts).map(|(account, host)| Mark { account, host });
        keys.into_iter().zip(marks).map(|(key, mark)| ([format_smolstr!("n#{key}"), format_smolstr!("n#{key}#{:08x}", mark.host)], mark)).collect()
    }

    /// Claims a nonce under every key, so that instances that lack one of them see it too.
    async fn claim(&self, sign_in: &SignIn, ticket: &Ticket, marks: &[KeyMarks], now: Timestamp) -> (Nonce, Option<Cause>) {
        let Some(nonce) = &sign_in.context.nonce else { return (Nonce::New, None) };
        let keys = self.pseudonyms.records("nonce", &[nonce.as_bytes()]);
        match keys.as_slice() {
            [key] => self.claim_under(key, &marks[0], ticket, now).await,
            keys => {
                let claims = keys.iter().zip(marks).map(|(key, marks)| self.claim_under(key, marks, ticket, now));
                let claims = futures_util::future::join_all(claims).await.into_iter();
                claims.reduce(|(one, cause), (other, another)| (one.max(other), cause.or(another))).unwrap_or_default()
            }
        }
    }

    async fn claim_under(&self, key: &str, marks: &KeyMarks, ticket: &Ticket, now: Timestamp) -> (Nonce, Option<Cause>) {
        let key = format!("x#{key}");
        let own = [&marks.event.unwrap_or(ticket.attempt.event).to_be_bytes()[..], &now.as_second().to_be_bytes(), ticket.field.as_bytes()].concat();
        let first = match self.store.claim(&key, &own, self.terms.nonce, now).await {
            Ok(first) if first == own => return (Nonce::New, None),
            Ok(first) => first,
            // Whether it was used before is not known: the context is not believed.
            Err(cause) => return (Nonce::Unchecked, Some(cause)),
        };
        let at = first.get(4..12).and_then(|at| at.try_into().ok()).map(i64::from_be_bytes);
        let is_soon = at.is_some_and(|at| (0..super::attempt::RETRY_WINDOW).contains(&(now.as_second() - at)));
        (if is_soon && first.get(..4) == own.get(..4) { Nonce::Retried } else { Nonce::Replayed }, None)
    }

    /// Blocks of the device and the tenant that are in the list under an older key only.
    fn moved_blocks(&self, shared: &Shared, sign_in: &SignIn) -> Vec<MovedBlock> {
        if !self.pseudonyms.has_older() {
            return Vec::new();
        }
        let device = sign_in.context.device_id.as_ref().map(|id| self.pseudonyms.records("device", &[id.expose().as_bytes()])).unwrap_or_default();
        let of_device = shared.under_older_key(&device, Subject::Device);
        let of_tenant = self.moved_tenant(shared, sign_in.tenant.as_ref().map(|tenant| tenant.expose().as_str()));
        of_device.into_iter().map(|(from, to)| MovedBlock { from, to }).chain(of_tenant).collect()
    }

    fn moved_tenant(&self, shared: &Shared, tenant: Option<&str>) -> Vec<MovedBlock> {
        let keys = tenant.filter(|_| self.pseudonyms.has_older()).map(|tenant| self.pseudonyms.records("tenant", &[tenant.as_bytes()])).unwrap_or_default();
        shared.under_older_key(&keys, Subject::Tenant).into_iter().map(|(from, to)| MovedBlock { from, to }).collect()
    }

    /// The block that acts at this trigger. A suspension with a message waits for token generation, where the password was right, but only
    /// if that trigger can find it and was seen for this client recently: where it was detached, the suspension acts here.
    fn block_of(&self, dossier: &Dossier, shared: &Shared, sign_in: &SignIn, nonce: Nonce, marks: &[KeyMarks]) -> Option<super::Block> {
        let now = sign_in.received.wall;
        let of_person = dossier.block.as_ref().and_then(|entry| entry.at(now)).map(|block| Match { block, scope: Scope::Account });
        let all = shared.matching(sign_in, nonce, &self.pseudonyms, now).into_iter().chain(of_person);
        let makes_tokens = sign_in.trigger == Trigger::PreAuthentication && shared.makes_tokens(marks.iter().map(|marks| marks.client), now);
        let waits = |found: &Match| makes_tokens && found.scope == Scope::Account && found.block.kind == BlockKind::Suspended && found.block.message.is_some();
        strongest(all.filter(|found| !waits(found)).map(|found| found.block))
    }

    /// Reads the lists again that are due: after an instance's first sign-in one at a time, so that a round reads one at most.
    async fn refresh(&self, now: Timestamp) {
        let is_first = self.shared.at.load(Ordering::Acquire) == i64::MIN;
        let is_read =
            self.shared.refresh(&*self.store, List::Shared, LIST_AGE, Reading { read: Shared::read, is_complete: |list| list.unreadable() == 0 }, now).await;
        if is_read && let Some(at) = self.shared.read_at() {
            self.health.store.set_block_list_read(at);
        }
        if is_first || !is_read {
            self.shapes.refresh(&*self.store, List::Shapes, SHAPES_AGE, Reading { read: Shapes::read, is_complete: |_| true }, now).await;
        }
    }

    /// An unknown name's history, in the hashes of the newest key as a known one's would be.
    fn decoy(&self, sign_in: &SignIn, origin: &Origin, now: Timestamp) -> super::Profile {
        let mut profile = self.shapes.load(now).decoy(self.pseudonyms.draw(&sign_in.pool, sign_in.person.key()));
        if let Some((newest, older)) = origin.features.split_first() {
            older.iter().for_each(|older| profile.rename(older, newest));
        }
        profile
    }

    fn shape(&self, keys: &PersonKeys, profile: &super::Profile, now: Timestamp) -> Option<Loan> {
        self.shapes.load(now).lend(self.shape_mark(&keys[0]), profile, now)
    }

    fn shape_mark(&self, key: &str) -> u32 {
        self.pseudonyms.mark("shape", &[key.as_bytes()])
    }

    /// Lends a shape; without it unknown names are drawn from the others.
    async fn lend(&self, shape: Option<&Loan>, now: Timestamp) {
        if let Some(loan) = shape {
            self.shapes.load(now).note(loan);
            let (name, bytes) = loan.entry();
            self.report_write(Part::TemplateWrite, self.store.enlist(List::Shapes, &name, bytes, now.checked_add(self.terms.history).ok())).await;
        }
    }

    /// Whether a list of blocks is in force.
    fn has_blocks(&self, now: Timestamp) -> bool {
        self.shared.read_at().is_some() && !self.shared.is_expired(now)
    }
}

/// An address as text. Those of IPv4 are most, and are written several times as fast by hand as by the formatter.
fn written(ip: IpAddr) -> SmolStr {
    let IpAddr::V4(v4) = ip else { return ip.to_smolstr() };
    let (mut text, mut end) = ([b'.'; 16], 0);
    for octet in v4.octets() {
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text[end] = b'0' + octet / unit % 10;
                end += 1;
            }
        }
        // The dot stands there already.
        end += 1;
    }
    std::str::from_utf8(&text[..end - 1]).expect("digits and dots").into()
}

#[cfg(test)]
mod tests;
