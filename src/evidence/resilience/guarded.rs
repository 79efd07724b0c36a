//! One service behind everything that protects the path from it, and it from the path.
//!
//! From outside in: the two cache tiers, coalescing, breaker, bulkhead, quota, timeout, one retry, rescue, adapter.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{
    Face, Shared,
    breaker::{Admission, Breaker, Permit},
    cache::{Cache, Entry, Lookup, moment, moment_at},
    deadline::Deadline,
    flight::{Flights, Joined},
    quota::Quota,
    rescue::rescue,
    retry::RetryBudget,
};
use crate::{
    config::services::{CacheConfig, Service, ServiceConfig},
    event::{Now, SignIn},
    evidence::{
        Answer, Cause, Consultation, Outcome, Outdated, Tier,
        health::{AccountFault, CacheResult, Health},
        provider::{Adapter, Failure, Keeping, Provider, Question, Reach, Sends},
    },
};

/// Questions to one service at once: what a service that hangs can hold of sockets and memory.
const BULKHEAD: usize = 128;

/// How long a question may queue for the bulkhead, as a share of the service's timeout.
const QUEUE_SHARE: u32 = 4;

/// For how long a process that began to ask is believed to be at it, the longest wait for its answer, and how often that is looked for.
const CLAIM: Duration = Duration::from_secs(10);
const OTHERS: Duration = Duration::from_millis(600);
const GLANCE: Duration = Duration::from_millis(15);

/// The operator is told of a refused key this often.
const REMINDER: Duration = Duration::from_secs(60);

/// One service behind its guards.
pub struct Guarded {
    service: Service,
    weight: f64,
    sends: Sends,
    keeping: Keeping,
    secret: [u8; 16],
    flights: Flights<Landed>,
    line: Arc<Line>,
}

/// What all services have in common.
#[derive(Clone)]
pub struct Surroundings {
    /// How answers are kept.
    pub cache: CacheConfig,
    /// The key of what answers are kept under.
    pub secret: [u8; 16],
    /// Which face runs.
    pub face: Face,
    /// Where it is noted what happens.
    pub health: Arc<Health>,
    /// The store that processes share, where there is one.
    pub shared: Option<Shared>,
}

/// What a call needs that may outlive the sign-in that started it.
struct Line {
    service: Service,
    provider: Arc<dyn Provider>,
    face: Face,
    timeout: Duration,
    cache: Cache,
    shared: Option<Shared>,
    breaker: Arc<Breaker>,
    bulkhead: Semaphore,
    quota: Quota,
    retries: RetryBudget,
    health: Arc<Health>,
    reminded: Mutex<Option<Instant>>,
    /// Whether its answers are decisions: what cannot be read of them is reported, as of every block list.
    is_block_list: bool,
    reported: Mutex<Option<Instant>>,
}

/// How asking ended, for every caller who waited.
#[derive(Debug, Clone)]
struct Landed {
    outcome: Outcome,
    answer: Option<Answer>,
    tier: Option<Tier>,
    outdated: Option<Outdated>,
}

/// Whether a caller started the call that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
}

/// Which call for a question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

// === impl Guarded ===

impl Guarded {
    /// Stacks the guards before an adapter.
    pub fn new(config: &ServiceConfig, adapter: Adapter, around: Surroundings) -> Self {
        let Surroundings { mut cache, secret, face, health, shared } = around;
        let service = config.service;
        if let Keeping::AtMost { fresh, oldest } = adapter.keeping {
            cache.ttl = cache.ttl.min(fresh);
            cache.negative_ttl = cache.negative_ttl.min(fresh);
            cache.stale_for = cache.stale_for.min(oldest.saturating_sub(cache.ttl));
        }
        let line = Line {
            service,
            provider: adapter.provider,
            face,
            timeout: config.timeout,
            cache: Cache::new(cache, face),
            breaker: Arc::new(Breaker::new(service, face, config.timeout, Arc::clone(&health))),
            bulkhead: Semaphore::new(BULKHEAD),
            quota: Quota::new(service, config.daily_limit, secret, shared.clone()),
            shared,
            retries: RetryBudget::default(),
            health,
            reminded: Mutex::default(),
            is_block_list: adapter.keeping != Keeping::AsSet,
            reported: Mutex::default(),
        };
        Guarded { service, weight: config.weight, sends: adapter.sends, keeping: adapter.keeping, secret, flights: Flights::default(), line: Arc::new(line) }
    }

    /// Learns what the service says of a sign-in, by the deadline.
    pub async fn consult(&self, sign_in: &SignIn, deadline: Deadline) -> Consultation {
        let started = Instant::now();
        let Landed { outcome, answer, tier, outdated } = match Question::of(sign_in, self.sends) {
            Some(question) => rescue(&self.line.health, self.answer(question, started, deadline)).await.unwrap_or(Landed::failed(Cause::Panic)),
            None => Landed::of(Outcome::NotAsked, None),
        };
        let consultation = Consultation { service: self.service, outcome, answer, weight: self.weight, tier, took: started.elapsed(), outdated };
        if self.line.is_block_list {
            self.line.report_block_list(&consultation, started);
        }
        consultation
    }

    async fn answer(&self, question: Question, now: Instant, deadline: Deadline) -> Landed {
        if self.keeping == Keeping::Itself {
            return Box::pin(self.line.ask_directly(&question, deadline)).await;
        }
        let key = question.key(self.service, &self.secret);
        // What has to be asked waits on the heap: most sign-ins find an answer, and would carry room for asking along.
        match self.line.cache.look_up(key, moment_at(now, question.received)) {
            Lookup::Fresh(answer) => self.line.found(answer, Tier::Memory),
            Lookup::Revalidate(answer) => {
                self.refresh(key, question);
                self.line.stale(answer, Tier::Memory)
            }
            Lookup::Stale(answer, age) => match Box::pin(self.ask(key, question, deadline)).await {
                Landed { outcome: Outcome::Failed(cause), .. } => self.line.stand_in(answer, Tier::Memory, cause, age + now.elapsed()),
                landed => landed,
            },
            Lookup::Missing => Box::pin(self.ask(key, question, deadline)).await,
        }
    }

    /// Asks the service, or waits for a caller who does. Who waited for a connection that broke may start one more call, together.
    async fn ask(&self, key: u128, question: Question, deadline: Deadline) -> Landed {
        match self.join(key, question.clone(), deadline, Attempt::First).await {
            (Role::Follower, Landed { outcome: Outcome::Failed(Cause::Reset), .. }) => self.join(key, question, deadline, Attempt::Second).await.1,
            (_, landed) => landed,
        }
    }

    async fn join(&self, key: u128, question: Question, deadline: Deadline, attempt: Attempt) -> (Role, Landed) {
        let joined = self.flights.join(key, || {
            if attempt == Attempt::Second && !self.line.retries.spend() {
                return Err(Cause::Reset);
            }
            Ok(Line::call(Arc::clone(&self.line), key, question))
        });
        let (role, result, flight) = match joined {
            Ok(Joined::Found(flight)) => (Role::Follower, CacheResult::Coalesced, flight),
            Ok(Joined::Started(flight)) => (Role::Leader, CacheResult::Miss, flight),
            Err(cause) => return (Role::Leader, Landed::failed(cause)),
        };
        self.line.count(Tier::Memory, result);
        (role, deadline.run(flight).await.unwrap_or(Landed::failed(Cause::Timeout)))
    }

    /// Asks the service after the sign-in has its answer; only ever in a process that goes on living.
    fn refresh(&self, key: u128, question: Question) {
        let joined = self.flights.join::<std::convert::Infallible>(key, || Ok(Line::call(Arc::clone(&self.line), key, question)));
        if let Ok(Joined::Started(flight)) = joined {
            tokio::spawn(flight);
        }
    }
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("service", &self.service).finish_non_exhaustive()
    }
}

// === impl Line ===

impl Line {
    /// The one call that every caller of a key waits for.
    fn call(line: Arc<Self>, key: u128, question: Question) -> BoxFuture<'static, Landed> {
        async move {
            // A caller who missed may come to start the next call just after the last one ended.
            if let Lookup::Fresh(answer) = line.cache.look_up(key, moment(question.received)) {
                return line.found(answer, Tier::Memory);
            }
            // The service's time: whatever stands before it is waited for within it.
            let deadline = Deadline::after(Instant::now(), line.timeout);
            let spare = match line.second_tier(key, &question).await {
                Lookup::Fresh(answer) => return line.found(answer, Tier::Store),
                Lookup::Revalidate(answer) => Some((answer, Duration::ZERO)),
                Lookup::Stale(answer, age) => Some((answer, age)),
                Lookup::Missing => {
                    line.count(Tier::Store, CacheResult::Miss);
                    match line.other_process(key, &question).await {
                        Some(answer) => return line.found(answer, Tier::Store),
                        None => None,
                    }
                }
            };
            let asked = Instant::now();
            match (line.put(key, question, deadline).await, spare) {
                (Ok(answer), _) => Landed::answered(answer),
                (Err(failure), Some((spare, age))) => line.stand_in(spare, Tier::Store, failure.cause, age + asked.elapsed()),
                (Err(failure), None) => Landed::failed(failure.cause),
            }
        }
        .boxed()
    }

    /// What another process has kept.
    async fn second_tier(&self, key: u128, question: &Question) -> Lookup {
        let Some(shared) = &self.shared else { return Lookup::Missing };
        let now = moment(question.received);
        let Some(entry) = shared.fetch(key, now).await else { return Lookup::Missing };
        let good_for = self.cache.judge(entry.clone(), key, now);
        if matches!(good_for, Lookup::Fresh(_)) {
            self.cache.keep(key, entry);
        }
        good_for
    }

    /// Waits a little for a process that has begun to ask the same.
    async fn other_process(&self, key: u128, question: &Question) -> Option<Option<Answer>> {
        let shared = self.shared.as_ref().filter(|_| !self.breaker.is_open())?;
        if shared.is_first(key, CLAIM, moment(question.received)).await? {
            return None;
        }
        let patience = Deadline::after(Instant::now(), (self.timeout / 2).min(OTHERS));
        while !patience.left(Instant::now()).is_zero() {
            tokio::time::sleep(GLANCE).await;
            if let Lookup::Fresh(answer) = self.second_tier(key, question).await {
                return Some(answer);
            }
        }
        None
    }

    /// Puts the question, if the breaker lets it through.
    async fn put(self: &Arc<Self>, key: u128, question: Question, deadline: Deadline) -> Result<Option<Answer>, Failure> {
        match self.breaker.admit(Instant::now()) {
            Admission::Pass(permit) => self.put_with(key, &question, deadline, permit).await,
            Admission::Probe(permit) if self.face == Face::Sidecar => {
                // Nobody waits for a service that is probably still down; Lambda has nobody else to wait.
                let line = Arc::clone(self);
                tokio::spawn(async move { line.put_with(key, &question, deadline, permit).await });
                Err(Cause::BreakerOpen.into())
            }
            Admission::Probe(permit) => self.put_with(key, &question, deadline, permit).await,
            Admission::Refused(cause) => Err(cause.into()),
        }
    }

    /// Asks, tells the breaker how it went, and keeps the answer.
    async fn put_with(self: &Arc<Self>, key: u128, question: &Question, deadline: Deadline, permit: Permit) -> Result<Option<Answer>, Failure> {
        let _seat = match self.seat(deadline).await {
            Ok(seat) => seat,
            Err(cause) => {
                permit.release();
                return Err(cause.into());
            }
        };
        // An answer is as old as its question: a process that was frozen in between finds it long outdated.
        let asked = moment(question.received);
        let result = match rescue(&self.health, deadline.run(self.try_twice(question))).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Cause::Timeout.into()),
            Err(_) => Err(Cause::Panic.into()),
        };
        if result.as_ref().is_err_and(|failure| failure.cause == Cause::OverQuota) {
            Health::count(&self.health.service(self.service).over_quota);
            permit.release();
            return result;
        }
        self.learn(question, &result, permit);
        if let Ok(answer) = &result {
            self.keep(key, answer.clone(), asked, deadline).await;
        }
        result
    }

    /// Keeps an answer in both tiers. The second is not waited for in the sidecar, and in Lambda no longer than the service itself would be.
    async fn keep(self: &Arc<Self>, key: u128, answer: Option<Answer>, now: Now, deadline: Deadline) {
        self.cache.keep(key, Entry::new(answer.clone(), now));
        let Some(shared) = self.shared.clone() else { return };
        let lifetime = self.cache.lifetime(answer.as_ref());
        let kept = async move { shared.keep(key, answer.as_ref(), now, lifetime).await };
        match self.face {
            Face::Sidecar => drop(tokio::spawn(kept)),
            Face::Lambda | Face::Command => drop(deadline.run(kept).await),
        }
    }

    /// Asks an adapter that holds its answers itself.
    async fn ask_directly(&self, question: &Question, deadline: Deadline) -> Landed {
        let deadline = deadline.sooner(Instant::now(), self.timeout);
        let outdated = self.provider.outdated(Instant::now());
        let result = deadline.run(self.provider.ask(question)).await.unwrap_or(Err(Cause::Timeout.into()));
        self.note_account(result.as_ref().err());
        match result {
            // "Nothing is decided" is outdated like a decision.
            Ok(answer) if outdated.is_some() => Landed { outdated, ..Landed::of(Outcome::Stale, answer) },
            Ok(answer) => Landed::answered(answer),
            Err(failure) => Landed::failed(failure.cause),
        }
    }

    /// Waits a little for one of the seats; a service that hangs fills them, and then the others are turned away at once.
    async fn seat(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>, Cause> {
        let queue = deadline.sooner(Instant::now(), self.timeout / QUEUE_SHARE);
        match queue.run(self.bulkhead.acquire()).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) | Err(_) => {
                Health::count(&self.health.service(self.service).shed);
                Err(Cause::Shed)
            }
        }
    }

    /// Asks, and once more where the first attempt never reached the service; each is paid from the quota.
    async fn try_twice(&self, question: &Question) -> Result<Option<Answer>, Failure> {
        if !self.quota.covers(question).await || !self.quota.spend(question).await {
            return Err(Cause::OverQuota.into());
        }
        let health = self.health.service(self.service);
        Health::count(&health.calls);
        match self.provider.ask(question).await {
            Err(failure) if failure.reach == Reach::Never && self.retries.spend() && self.quota.spend(question).await => {
                Health::count(&health.retries);
                Health::count(&health.calls);
                self.provider.ask(question).await
            }
            answered => answered,
        }
    }

    /// Tells the breaker, the retry budget and the operator what an attempt showed.
    fn learn(&self, question: &Question, result: &Result<Option<Answer>, Failure>, permit: Permit) {
        let now = Instant::now();
        self.note_account(result.as_ref().err());
        match result {
            Ok(_) => {
                self.retries.earn();
                permit.succeed(now);
            }
            // What a stranger writes into a user agent must not be able to turn a service off for everybody.
            Err(failure)
                if failure.cause == Cause::Http4xx
                    || (AccountFault::of(failure.cause).is_some_and(AccountFault::may_be_the_requests) && question.has_client_text()) =>
            {
                permit.excuse(now)
            }
            Err(failure) => permit.fail(failure, now),
        }
    }

    /// Notes what only the operator can mend; an answer shows that it is mended.
    fn note_account(&self, failure: Option<&Failure>) {
        let fault = failure.and_then(|failure| AccountFault::of(failure.cause));
        if fault.is_some() || failure.is_none() {
            self.health.service(self.service).set_fault(fault);
        }
        if let Some(fault) = fault {
            self.remind(fault, Instant::now());
        }
    }

    /// Tells the operator, once a minute, what only they can mend.
    fn remind(&self, fault: AccountFault, now: Instant) {
        if is_due(&self.reminded, now) {
            let service = self.service.as_label();
            tracing::error!(service, cause = fault.as_label(), "{}", fault.help());
        }
    }

    /// An answer of a cache, within its time.
    fn found(&self, answer: Option<Answer>, tier: Tier) -> Landed {
        let (outcome, result) = if answer.is_some() { (Outcome::Hit, CacheResult::Hit) } else { (Outcome::Negative, CacheResult::Negative) };
        self.count(tier, result);
        Landed { tier: Some(tier), ..Landed::of(outcome, answer) }
    }

    /// An answer of a cache, past its time.
    fn stale(&self, answer: Answer, tier: Tier) -> Landed {
        self.count(tier, CacheResult::Stale);
        Landed { tier: Some(tier), ..Landed::of(Outcome::Stale, Some(answer)) }
    }

    /// An old answer in place of one that failed, unless it has ended meanwhile.
    fn stand_in(&self, answer: Answer, tier: Tier, cause: Cause, age: Duration) -> Landed {
        match answer.at(age) {
            Some(answer) => Landed { outdated: self.is_block_list.then_some(Outdated { cause, age }), ..self.stale(answer, tier) },
            None => Landed::failed(cause),
        }
    }

    /// Notes whether decisions could be read, and logs once a minute that they could not.
    fn report_block_list(&self, consultation: &Consultation, now: Instant) {
        if consultation.outcome == Outcome::NotAsked {
            return;
        }
        let cause = consultation.degraded();
        let age = consultation.outdated.map(|outdated| outdated.age);
        self.health.service(self.service).set_unread(cause, age);
        let Some(cause) = cause.filter(|_| is_due(&self.reported, now)) else { return };
        let (service, cause) = (self.service.as_label(), cause.as_label());
        match age {
            Some(age) => tracing::warn!(service, cause, age_s = age.as_secs(), "decisions cannot be read again; the last ones stay in force until they end"),
            None => tracing::warn!(service, cause, "decisions cannot be read; none is in force"),
        }
    }

    fn count(&self, tier: Tier, result: CacheResult) {
        Health::count(self.health.cache(tier, result));
    }
}

// === impl Landed ===

impl Landed {
    fn of(outcome: Outcome, answer: Option<Answer>) -> Self {
        Landed { outcome, answer, tier: None, outdated: None }
    }

    fn answered(answer: Option<Answer>) -> Self {
        Self::of(if answer.is_some() { Outcome::Fresh } else { Outcome::Negative }, answer)
    }

    fn failed(cause: Cause) -> Self {
        Self::of(Outcome::Failed(cause), None)
    }
}

/// Whether a line that is logged once a minute is due; it is counted as logged.
fn is_due(logged: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = logged.is_none_or(|last| now.saturating_duration_since(last) >= REMINDER);
    if is_due {
        *logged = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests;
