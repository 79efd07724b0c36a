//! Judges sign-ins again with the address that the user pool saw: a batch of messages in, the messages to deliver again out.
//!
//! A message is judged once. Its claim is a conditional write with a lease, so another process takes over if this one ends in the middle.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use riskgate_config::{pseudonym::UserKeys, sessions::SessionOnDeny};
use riskgate_engine::{
    context::{Context, Contradiction, RawClaims, Trust},
    decision::{Decision, Rule, ScoreLevel, Verdict},
    evidence::FailureReason,
    personal::RawEvent,
    settings::Mode,
    sign_in::{SignIn, Trigger, User},
    signals::travel::Journey,
    time::{ClockReading, EventTime},
};
use riskgate_event::queue::{self, QueueBatch, QueueMessage};
use riskgate_history::repository::{
    HistoryRepository,
    sessions::{JudgementClaim, SessionSignIn, SessionVerdict},
};
use riskgate_runtime::{
    catch_panic::catch_panic,
    clock,
    deadline::Deadline,
    session_health::{SessionEvent, SessionProblem},
};

use crate::{
    enricher::Enriched,
    instance::Instance,
    learn,
    sessions::{
        RETRY_DELAYS, Sessions,
        matching::{SessionMatch, match_session},
        message::{Priority, SessionKind, SessionMessage},
        source::{SessionEntry, SourceError},
    },
};

/// The longest time for a batch when Lambda states no deadline.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Messages that are judged at the same time.
const CONCURRENT: usize = 20;

/// Added to a claim's lease beyond the end of this invocation.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The longest wait for one call to the source.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a sign-in with precedence waits a second for a call within the limit, before it is queued again.
const LIMIT_WAITS: usize = 3;

/// How often an API limit defers a message before it fails.
const MAX_TRIES: u8 = 6;

/// The message has to be delivered again.
struct Failed(SessionEvent, Option<FailureReason>);

/// How the look-up of a message ended.
struct Finished {
    event: SessionEvent,
    /// Whether the sign-in was judged, so its lag counts.
    is_judged: bool,
}

/// What judging one sign-in again needs.
struct Reassessment<'a> {
    instance: &'a Instance,
    sessions: &'a Sessions,
    repository: Arc<HistoryRepository>,
    message: SessionMessage,
    user: User,
    /// The keys of the user's record, newest first.
    keys: UserKeys,
    at: Timestamp,
    received: ClockReading,
    deadline: Deadline,
}

/// Judges a batch. The response names the messages that have to be delivered again.
pub async fn judge(instance: &Instance, batch: &QueueBatch, received: ClockReading, limit: Option<Duration>) -> RawEvent {
    let deadline = Deadline::after(received.mono, limit.unwrap_or(BATCH_TIMEOUT));
    let mut failed = Vec::new();
    for messages in batch.messages.chunks(CONCURRENT) {
        let judged = futures_util::future::join_all(messages.iter().map(|message| judge_message(instance, message, received, deadline))).await;
        failed.extend(messages.iter().zip(judged).filter(|(_, is_done)| !is_done).map(|(message, _)| message.id.clone()));
    }
    instance.telemetry.record_sessions(received.wall, deadline).await;
    queue::response(&failed)
}

/// Judges a message, and returns whether it is done with.
async fn judge_message(instance: &Instance, message: &QueueMessage, received: ClockReading, deadline: Deadline) -> bool {
    let health = &instance.engine.health().sessions;
    let judged = match catch_panic(instance.engine.health(), deadline.run(Box::pin(try_message(instance, message, received, deadline)))).await {
        Ok(Ok(judged)) => judged,
        Ok(Err(_)) => Err(Failed(SessionEvent::Failed, Some(FailureReason::Timeout))),
        Err(_) => Err(Failed(SessionEvent::Failed, Some(FailureReason::Panic))),
    };
    match judged {
        Ok(finished) => {
            if let Some(event) = finished {
                health.report(event, None, Instant::now());
            }
            true
        }
        Err(Failed(event, cause)) => {
            health.report(event, cause, Instant::now());
            false
        }
    }
}

/// How the message ended, to be counted; `None` if it was queued again or is counted already.
async fn try_message(instance: &Instance, message: &QueueMessage, received: ClockReading, deadline: Deadline) -> Result<Option<SessionEvent>, Failed> {
    let (now, enricher) = (clock::read_since(received), instance.engine.enricher());
    let Ok(message) = serde_json::from_str::<SessionMessage>(message.body.expose()) else { return Ok(Some(SessionEvent::Unreadable)) };
    let Some(sessions) = &instance.sessions else { return Err(Failed(SessionEvent::NotAllowed, None)) };
    // Another instance may have a newer key than this one. The message is delivered again.
    let mut user = message.user(&enricher.pseudonyms()).ok_or(Failed(SessionEvent::Unreadable, None))?;
    let repository = enricher.repository().ok_or(Failed(SessionEvent::Failed, Some(FailureReason::NoStore)))?;
    let Some(at) = message.at(now.wall) else { return Ok(Some(SessionEvent::Skipped)) };
    let keys = repository.current_keys(&enricher.pseudonyms().record_keys(&message.pool, &user), now.wall).await?;
    if let Some(pseudonyms) = &mut user.pseudonyms {
        pseudonyms.records.clone_from(&keys);
    }
    let reassessment = Reassessment { instance, sessions, repository, message, user, keys, at, received, deadline };
    let finished = reassessment.run(now).await?;
    Ok(finished.map(|finished| {
        if finished.is_judged {
            let lag = clock::read_since(received).wall.as_millisecond() - at.as_millisecond();
            instance.engine.health().sessions.observe_lag(u64::try_from(lag).unwrap_or_default());
        }
        finished.event
    }))
}

impl From<FailureReason> for Failed {
    fn from(cause: FailureReason) -> Self {
        Failed(SessionEvent::Failed, Some(cause))
    }
}

impl From<SessionEvent> for Finished {
    fn from(event: SessionEvent) -> Self {
        Finished { event, is_judged: false }
    }
}

impl Reassessment<'_> {
    fn now(&self) -> ClockReading {
        clock::read_since(self.received)
    }

    /// `None` if the message was queued again, or its end is counted already.
    async fn run(self, now: ClockReading) -> Result<Option<Finished>, Failed> {
        let message = &self.message;
        if self.repository.is_judged(&message.key(), now.wall).await? {
            return Ok(Some(SessionEvent::Duplicate.into()));
        }
        if !self.take_call().await? {
            return match message.priority {
                Priority::Low => Ok(Some(SessionEvent::Skipped.into())),
                Priority::High => self.defer(Duration::from_secs(30), SessionEvent::Skipped).await,
            };
        }
        let name = self.user.name.expose();
        let listed = self.deadline.sooner(Instant::now(), SOURCE_TIMEOUT).run(self.sessions.source.list(&message.pool, name, self.now())).await;
        let health = &self.instance.engine.health().sessions;
        let sessions = match listed.unwrap_or(Err(SourceError::Failed(FailureReason::Timeout))) {
            Ok(sessions) => sessions,
            Err(SourceError::NoUser) => return Ok(Some(SessionEvent::Unmatched.into())),
            Err(SourceError::Limited) => return self.defer(Duration::from_secs(30), SessionEvent::Skipped).await,
            Err(SourceError::NotAllowed(problem)) => {
                // Another try would end the same way. The success is learned from as without sessions.
                health.report(SessionEvent::NotAllowed, None, Instant::now());
                self.set_problem(problem).await?;
                return Ok(None);
            }
            Err(SourceError::Failed(cause)) => return Err(cause.into()),
        };
        self.clear_problem(|problem| !problem.concerns_revoking()).await?;
        let found = if message.kind == SessionKind::Refresh {
            refreshed(&sessions, &message.client, self.at)
        } else {
            match_session(&sessions, &message.client, message.kind, self.at)
        };
        match found {
            SessionMatch::One { seen, revoke } => self.judge(seen, revoke).await.map(Some),
            SessionMatch::Ambiguous => Ok(Some(SessionEvent::Ambiguous.into())),
            SessionMatch::None => match RETRY_DELAYS.get(usize::from(message.tries)) {
                Some(delay) => self.defer(*delay, SessionEvent::Unmatched).await,
                None => Ok(Some(SessionEvent::Unmatched.into())),
            },
        }
    }

    /// Takes a call within the pool's limit. Low-risk sign-ins leave a fifth of it to others, and do not wait.
    async fn take_call(&self) -> Result<bool, Failed> {
        let limit = self.sessions.config.calls_per_second;
        let limit = if self.message.priority == Priority::Low { (limit * 4 / 5).max(1) } else { limit };
        for wait in 0..=LIMIT_WAITS {
            if self.repository.take_session_call(&self.message.pool, limit, self.now().wall).await? {
                return Ok(true);
            }
            if self.message.priority == Priority::Low || wait == LIMIT_WAITS {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(false)
    }

    /// Queues the message again; after too many tries, it ends with `event`.
    async fn defer(&self, delay: Duration, event: SessionEvent) -> Result<Option<Finished>, Failed> {
        if self.message.tries >= MAX_TRIES {
            return Ok(Some(event.into()));
        }
        let again = self.message.clone().again();
        self.sessions.send(&again, delay, self.now()).await?;
        Ok(None)
    }

    async fn judge(&self, seen: &SessionEntry, revoke: &SessionEntry) -> Result<Finished, Failed> {
        let (now, engine, message) = (self.now(), &self.instance.engine, &self.message);
        let claims = RawClaims { ip: seen.address.as_deref(), ..RawClaims::default() };
        let context = Context::read(Trust::Verified, &claims);
        if context.ip.public().is_none() {
            return Ok(SessionEvent::Unmatched.into());
        }
        let sign_in = SignIn {
            raw: RawEvent::default(),
            trigger: Trigger::Session,
            received: now,
            at: EventTime::new(self.at),
            pool: message.pool.clone(),
            client: message.client.clone(),
            tenant: None,
            user: self.user.clone(),
            context,
        };
        let deadline = engine.deadline(now.mono, Some(self.deadline.left(Instant::now())));
        let Enriched { mut evidence, scale, .. } = engine.enricher().enrich(sign_in, deadline).await;
        let about =
            SessionSignIn { pool: &message.pool, keys: &self.keys, client: &message.client, id: &message.id, sample: message.sample.as_deref(), at: self.at };
        if self.repository.is_shared_egress(&about, &evidence, now.wall).await? {
            return Ok(SessionEvent::SharedEgress.into());
        }
        let record = self.repository.read_session(&about, &revoke.id, now.wall).await?;
        if record.is_forgotten {
            return Ok(SessionEvent::Forgotten.into());
        }
        let verified = self.repository.verified_origin(&evidence, seen.active.unwrap_or(self.at));
        let findings = &mut Arc::make_mut(&mut evidence.sign_in).context.session;
        if let Some(claimed) = &record.claimed {
            let (country, asn) = claimed.contradicts(&verified);
            findings.contradiction = country.then_some(Contradiction::Country).or(asn.then_some(Contradiction::Asn));
        }
        let journey = record.first_seen.zip(verified.sighting).and_then(|(first, last)| Journey::between(&first, &last));
        findings.moved_kmh = journey.map(Journey::kmh).filter(|kmh| *kmh > engine.model().weights().travel_speed);
        let findings = *findings;
        if message.kind == SessionKind::Refresh {
            self.repository.record_recheck(&self.keys, now.wall).await?;
            if findings.moved_kmh.is_none() {
                return Ok(SessionEvent::Rechecked.into());
            }
        }
        match self.repository.claim_judgement(&message.key(), self.deadline.left(Instant::now()) + LEASE_MARGIN, now.wall).await? {
            JudgementClaim::Granted => {}
            JudgementClaim::Judged => return Ok(SessionEvent::Duplicate.into()),
            JudgementClaim::Busy => return Err(FailureReason::Shed.into()),
        }
        let hour = evidence.local_time.hour;
        let assessment = engine.judge_session(&message.id, evidence, scale.as_deref());
        let decision = &assessment.decision;
        let (verdict, event) = verdict_of(decision);
        let verdict = verdict.filter(|verdict| message.kind != SessionKind::Refresh || !matches!(verdict, SessionVerdict::Learn));
        if let Some(verdict) = verdict
            && !self.repository.apply_judgement(&about, &revoke.id, &verified, hour, verdict, now.wall).await?
        {
            return Ok(SessionEvent::Forgotten.into());
        }
        let is_new_client = self.repository.is_new_client(&about, now.wall).await?;
        let is_revoked = self.sessions.config.on_deny == SessionOnDeny::Revoke && is_revocable(decision) && !is_new_client;
        let event = if is_revoked { self.revoke(revoke).await? } else { event };
        self.repository.record_judgement(&message.key(), now.wall).await?;
        let health = &engine.health().sessions;
        for (is_found, found) in [(findings.contradiction.is_some(), SessionEvent::Contradicted), (findings.moved_kmh.is_some(), SessionEvent::Moved)] {
            if is_found {
                health.report(found, None, Instant::now());
            }
        }
        self.instance.record_session(&assessment, event, self.deadline).await;
        Ok(Finished { event, is_judged: true })
    }

    /// Records what the operator must fix, also in the store, where the sidecar and commands find it.
    async fn set_problem(&self, problem: SessionProblem) -> Result<(), Failed> {
        self.instance.engine.health().sessions.set_problem(Some(problem));
        Ok(self.repository.record_session_finding(&self.message.pool, problem.as_label(), self.now().wall).await?)
    }

    /// Removes a problem of this kind that was found before, here or by another process.
    async fn clear_problem(&self, is_solved: fn(SessionProblem) -> bool) -> Result<(), Failed> {
        let (health, now) = (&self.instance.engine.health().sessions, self.now().wall);
        let stored = self.repository.session_findings(now).get(&self.message.pool).and_then(|finding| SessionProblem::from_label(&finding.problem));
        if health.problem().or(stored).is_some_and(is_solved) {
            health.set_problem(None);
            self.repository.clear_session_finding(&self.message.pool, now).await?;
        }
        Ok(())
    }

    /// Ends a session and those linked to it.
    async fn revoke(&self, session: &SessionEntry) -> Result<SessionEvent, Failed> {
        let name = self.user.name.expose();
        let revoking = self.sessions.source.revoke(&self.message.pool, name, &session.id, self.now());
        match self.deadline.sooner(Instant::now(), SOURCE_TIMEOUT).run(revoking).await {
            Ok(Ok(()) | Err(SourceError::NoUser)) => {
                tracing::warn!(id = %self.message.id, "a session was revoked");
                // Best effort: a later revocation clears it.
                self.clear_problem(SessionProblem::concerns_revoking).await.unwrap_or_default();
                Ok(SessionEvent::Revoked)
            }
            Ok(Err(SourceError::NotAllowed(problem))) => {
                self.set_problem(problem).await?;
                Err(Failed(SessionEvent::RevokeFailed, Some(FailureReason::KeyRefused)))
            }
            Ok(Err(SourceError::Limited)) => Err(Failed(SessionEvent::RevokeFailed, Some(FailureReason::RateLimited))),
            Ok(Err(SourceError::Failed(cause))) => Err(Failed(SessionEvent::RevokeFailed, Some(cause))),
            Err(_) => Err(Failed(SessionEvent::RevokeFailed, Some(FailureReason::Timeout))),
        }
    }
}

/// The session that was refreshed at `at`: the only one of the client that was active then.
fn refreshed<'a>(sessions: &'a [SessionEntry], client: &str, at: Timestamp) -> SessionMatch<'a> {
    let active: Vec<SessionEntry> = sessions.iter().map(|session| SessionEntry { created: session.active, ..session.clone() }).collect();
    match match_session(&active, client, SessionKind::Refresh, at) {
        SessionMatch::One { seen, .. } => {
            let Some(session) = sessions.iter().find(|session| session.id == seen.id) else { return SessionMatch::None };
            let parent = sessions.iter().find(|parent| session.origin.as_deref() == Some(parent.id.as_str()));
            SessionMatch::One { seen: session, revoke: parent.unwrap_or(session) }
        }
        SessionMatch::Ambiguous => SessionMatch::Ambiguous,
        SessionMatch::None => SessionMatch::None,
    }
}

/// What a decision changes in the history, and how it is counted. A degraded one changes nothing.
fn verdict_of(decision: &Decision) -> (Option<SessionVerdict>, SessionEvent) {
    let challenge = || SessionVerdict::Challenge(learn::attempt_result(decision));
    let (verdict, event) = match decision.verdict {
        Verdict::Allow | Verdict::Review => (SessionVerdict::Learn, SessionEvent::Confirmed),
        Verdict::Challenge if decision.mode == Mode::Enforce => (challenge(), SessionEvent::Challenged),
        // In monitor mode, a challenge is learned from as it is before the sign-in.
        Verdict::Challenge => (SessionVerdict::Learn, SessionEvent::Confirmed),
        Verdict::Deny => (SessionVerdict::Deny, SessionEvent::Denied),
    };
    (Some(verdict).filter(|verdict| !decision.is_degraded() || matches!(verdict, SessionVerdict::Deny)), event)
}

/// Whether a session may be revoked: in enforce mode, by the score itself and with all evidence.
fn is_revocable(decision: &Decision) -> bool {
    let is_by_score = decision.verdict == Verdict::Deny && decision.rule == Rule::Thresholds && decision.level == ScoreLevel::High;
    decision.mode == Mode::Enforce && is_by_score && !decision.is_degraded()
}
