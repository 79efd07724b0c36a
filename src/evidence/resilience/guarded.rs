//! One service behind everything that protects the path from it, and it from the path.
//!
//! From outside in: cache, coalescing, breaker, bulkhead, timeout, one retry, rescue, adapter.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Face,
    breaker::{Admission, Breaker, Permit},
    cache::{Cache, Entry, Lookup, moment},
    deadline::Deadline,
    flight::{Flights, Joined},
    rescue::rescue,
    retry::RetryBudget,
};
use crate::{
    config::services::{CacheConfig, Service, ServiceConfig},
    event::SignIn,
    evidence::{
        Answer, Cause, Consultation, Outcome, Tier,
        health::{AccountFault, CacheResult, Health},
        provider::{Adapter, Failure, Keeping, Provider, Question, Reach, Sends},
    },
};

/// Questions to one service at once: what a service that hangs can hold of sockets and memory.
const BULKHEAD: usize = 128;

/// How long a question may queue for the bulkhead, as a share of the service's timeout.
const QUEUE_SHARE: u32 = 4;

/// The operator is told of a refused key this often.
const REMINDER: Duration = Duration::from_secs(60);

/// One service behind its guards.
pub struct Guarded {
    service: Service,
    weight: f64,
    sends: Sends,
    keeping: Keeping,
    secret: [u8; 16],
    face: Face,
    flights: Flights<Result<Option<Answer>, Failure>>,
    line: Arc<Line>,
}

/// What a call needs that may outlive the sign-in that started it.
struct Line {
    service: Service,
    provider: Arc<dyn Provider>,
    timeout: Duration,
    cache: Cache,
    breaker: Arc<Breaker>,
    bulkhead: Semaphore,
    retries: RetryBudget,
    health: Arc<Health>,
    reminded: std::sync::Mutex<Option<Instant>>,
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
    /// Stacks the guards before an adapter. `secret` keys the cache.
    pub fn new(config: &ServiceConfig, mut cache: CacheConfig, adapter: Adapter, secret: [u8; 16], face: Face, health: Arc<Health>) -> Self {
        let service = config.service;
        if let Keeping::AtMost(limit) = adapter.keeping {
            cache.ttl = cache.ttl.min(limit);
            cache.negative_ttl = cache.negative_ttl.min(limit);
        }
        let line = Line {
            service,
            provider: adapter.provider,
            timeout: config.timeout,
            cache: Cache::new(cache, face),
            breaker: Arc::new(Breaker::new(service, face, config.timeout, Arc::clone(&health))),
            bulkhead: Semaphore::new(BULKHEAD),
            retries: RetryBudget::default(),
            health,
            reminded: std::sync::Mutex::default(),
        };
        Guarded {
            service,
            weight: config.weight,
            sends: adapter.sends,
            keeping: adapter.keeping,
            secret,
            face,
            flights: Flights::default(),
            line: Arc::new(line),
        }
    }

    /// Learns what the service says of a sign-in, by the deadline.
    pub async fn consult(&self, sign_in: &SignIn, deadline: Deadline) -> Consultation {
        let started = Instant::now();
        let (outcome, answer, tier) = match Question::of(sign_in, self.sends) {
            Some(question) => rescue(&self.line.health, self.answer(question, deadline)).await.unwrap_or((Outcome::Failed(Cause::Panic), None, None)),
            None => (Outcome::NotAsked, None, None),
        };
        Consultation { service: self.service, outcome, answer, weight: self.weight, tier, took: started.elapsed() }
    }

    async fn answer(&self, question: Question, deadline: Deadline) -> (Outcome, Option<Answer>, Option<Tier>) {
        if self.keeping == Keeping::Itself {
            return match self.line.ask_directly(&question, deadline).await {
                Ok(Some(answer)) => (Outcome::Fresh, Some(answer), None),
                Ok(None) => (Outcome::Negative, None, None),
                Err(cause) => (Outcome::Failed(cause), None, None),
            };
        }
        let key = question.key(self.service, &self.secret);
        let count = |result| Health::count(self.line.health.cache(Tier::Memory, result));
        match self.line.cache.look_up(key, moment(question.received)).await {
            Lookup::Fresh(Some(answer)) => {
                count(CacheResult::Hit);
                (Outcome::Hit, Some(answer), Some(Tier::Memory))
            }
            Lookup::Fresh(None) => {
                count(CacheResult::Negative);
                (Outcome::Negative, None, Some(Tier::Memory))
            }
            Lookup::Revalidate(answer) => {
                count(CacheResult::Stale);
                self.refresh(key, question);
                (Outcome::Stale, Some(answer), Some(Tier::Memory))
            }
            Lookup::Stale(answer) => match self.ask(key, question, deadline).await {
                Ok(Some(answer)) => (Outcome::Fresh, Some(answer), None),
                Ok(None) => (Outcome::Negative, None, None),
                Err(_) => {
                    count(CacheResult::Stale);
                    (Outcome::Stale, Some(answer), Some(Tier::Memory))
                }
            },
            Lookup::Missing => match self.ask(key, question, deadline).await {
                Ok(Some(answer)) => (Outcome::Fresh, Some(answer), None),
                Ok(None) => (Outcome::Negative, None, None),
                Err(cause) => (Outcome::Failed(cause), None, None),
            },
        }
    }

    /// Asks the service, or waits for a caller who does. Who waited for a connection that broke may start one more call, together.
    async fn ask(&self, key: u128, question: Question, deadline: Deadline) -> Result<Option<Answer>, Cause> {
        match self.join(key, question.clone(), deadline, Attempt::First).await {
            (Role::Follower, Err(Cause::Reset)) => self.join(key, question, deadline, Attempt::Second).await.1,
            (_, result) => result,
        }
    }

    async fn join(&self, key: u128, question: Question, deadline: Deadline, attempt: Attempt) -> (Role, Result<Option<Answer>, Cause>) {
        let count = |result| Health::count(self.line.health.cache(Tier::Memory, result));
        let mut probing = false;
        let joined = self.flights.join(key, || {
            if attempt == Attempt::Second && !self.line.retries.spend() {
                return Err(Cause::Reset);
            }
            let permit = match self.line.breaker.admit(Instant::now()) {
                Admission::Pass(permit) => permit,
                Admission::Probe(permit) => {
                    probing = true;
                    permit
                }
                Admission::Refused(cause) => return Err(cause),
            };
            Ok(Line::call(Arc::clone(&self.line), key, question, permit))
        });
        let (role, flight) = match joined {
            Ok(Joined::Found(flight)) => {
                count(CacheResult::Coalesced);
                (Role::Follower, flight)
            }
            Ok(Joined::Started(flight)) => {
                count(CacheResult::Miss);
                (Role::Leader, flight)
            }
            Err(cause) => {
                count(CacheResult::Miss);
                return (Role::Leader, Err(cause));
            }
        };
        if probing && self.face == Face::Sidecar {
            // Nobody waits for a service that is probably still down; Lambda has nobody else to wait.
            tokio::spawn(flight);
            return (role, Err(Cause::BreakerOpen));
        }
        match deadline.run(flight).await {
            Ok(answer) => (role, answer.map_err(|failure| failure.cause)),
            Err(_) => (role, Err(Cause::Timeout)),
        }
    }

    /// Asks the service after the sign-in has its answer; only ever in a process that goes on living.
    fn refresh(&self, key: u128, question: Question) {
        let joined = self.flights.join(key, || match self.line.breaker.admit(Instant::now()) {
            Admission::Pass(permit) | Admission::Probe(permit) => Ok(Line::call(Arc::clone(&self.line), key, question, permit)),
            Admission::Refused(cause) => Err(cause),
        });
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
    /// The one call that every caller of a key waits for: it answers, keeps the answer, and tells the breaker.
    fn call(line: Arc<Self>, key: u128, question: Question, permit: Permit) -> BoxFuture<'static, Result<Option<Answer>, Failure>> {
        async move {
            // A caller who missed may come to start the next call just after the last one ended.
            if let Lookup::Fresh(answer) = line.cache.look_up(key, moment(question.received)).await {
                permit.excuse(Instant::now());
                return Ok(answer);
            }
            let deadline = Deadline::after(Instant::now(), line.timeout);
            let result = match line.seat(deadline).await {
                Ok(_seat) => match rescue(&line.health, deadline.run(line.try_twice(&question))).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(Cause::Timeout.into()),
                    Err(_) => Err(Cause::Panic.into()),
                },
                Err(cause) => {
                    Health::count(&line.health.service(line.service).shed);
                    permit.excuse(Instant::now());
                    return Err(cause.into());
                }
            };
            line.learn(&question, &result, permit);
            if let Ok(answer) = &result {
                line.cache.keep(key, Entry::new(answer.clone(), moment(question.received))).await;
            }
            result
        }
        .boxed()
    }

    /// Asks an adapter that holds its answers itself.
    async fn ask_directly(&self, question: &Question, deadline: Deadline) -> Result<Option<Answer>, Cause> {
        let deadline = deadline.sooner(Instant::now(), self.timeout);
        let result = deadline.run(self.provider.ask(question)).await.unwrap_or(Err(Cause::Timeout.into()));
        self.note_account(result.as_ref().err());
        result.map_err(|failure| failure.cause)
    }

    /// Waits a little for one of the seats; a service that hangs fills them, and then the others are turned away at once.
    async fn seat(&self, deadline: Deadline) -> Result<tokio::sync::SemaphorePermit<'_>, Cause> {
        let queue = deadline.sooner(Instant::now(), self.timeout / QUEUE_SHARE);
        match queue.run(self.bulkhead.acquire()).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) | Err(_) => Err(Cause::Shed),
        }
    }

    /// Asks, and once more where the first attempt never reached the service.
    async fn try_twice(&self, question: &Question) -> Result<Option<Answer>, Failure> {
        let health = self.health.service(self.service);
        Health::count(&health.calls);
        match self.provider.ask(question).await {
            Err(failure) if failure.reach == Reach::Never && self.retries.spend() => {
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
            Err(failure) if failure.cause == Cause::Http4xx || (AccountFault::of(failure.cause).is_some() && question.has_client_text()) => permit.excuse(now),
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
        let mut reminded = self.reminded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if reminded.is_none_or(|last| now.saturating_duration_since(last) >= REMINDER) {
            *reminded = Some(now);
            let service = self.service.as_label();
            match fault {
                AccountFault::KeyRefused => tracing::error!(service, "the service refuses the key: it is wrong, revoked or lacks the permission"),
                AccountFault::NoCredit => tracing::error!(service, "the account has no credit left"),
            }
        }
    }
}
