//! The handlers of the Cognito triggers, without a transport: an event in, the event or a denial out.

use std::{collections::BTreeMap, future::Future, pin::pin, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use smol_str::SmolStr;

use riskgate_config::{env, variables::PREFIX};
use riskgate_engine::{
    client_ip::ClientIp,
    evidence::{FailureReason, Outcome},
    personal::RawEvent,
    settings::{DecisionConfig, Mode},
    time::ClockReading,
};
use riskgate_event::{
    cognito::{self, Event},
    http,
    response::{
        Assessment,
        cognito::{Denial, denial},
    },
};
use riskgate_history::{block_list::SessionFinding, repository::outcome::ReportedOutcome};
use riskgate_runtime::{catch_panic::catch_panic, clock, deadline::Deadline, health::Health, mode::RuntimeMode, session_health::SessionProblem};
use riskgate_telemetry::{
    events::{EventPassedThrough, TokenRefused},
    labels::PassThrough,
    outcome::SignInOutcome,
};

use crate::{
    authorizer,
    challenge::ChallengeHandler,
    claims,
    instance::Instance,
    learn,
    risk_engine::new_id,
    secrets::{self, RenewalReason, RenewalResult},
    session_batch, session_queue,
};

/// Time between the response and Lambda's own deadline.
const DEADLINE_MARGIN: Duration = Duration::from_millis(100);

/// Lambda's longest timeout. A later deadline is ignored, because local runtime APIs send arbitrary numbers.
const MAX_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The event as received. Deserialization cannot fail: otherwise the Lambda runtime client would show its parser's error to the person who signs in.
#[derive(Debug)]
pub struct Payload(Option<RawEvent>);

/// An assessed sign-in, and the deadline for writing its audit line.
#[derive(Debug)]
pub struct Assessed(Assessment, Deadline);

/// Answers one invocation with its event and records the assessment.
///
/// # Errors
///
/// The sign-in is denied. Every denial has the same configured message.
pub async fn answer(instance: &Instance, payload: Payload, deadline_ms: u64) -> Result<RawEvent, Denial> {
    let (response, assessed) = respond(instance, payload, deadline_ms).await;
    if let Some(assessed) = assessed {
        record(instance, assessed).await;
    }
    response
}

/// Returns the response, and the assessment that is still to be recorded.
pub async fn respond(instance: &Instance, payload: Payload, deadline_ms: u64) -> (Result<RawEvent, Denial>, Option<Assessed>) {
    let received = clock::read();
    let mut assessed = None;
    let raw = payload.0.clone();
    // Boxed, because every layer that takes a future by value copies it, including those of the runtime client.
    let handled = Box::pin(handle(instance, payload, received, time_left(deadline_ms, received), &mut assessed));
    let response = catch_panics(instance.engine.health(), handled, || respond_undecided(&instance.config.decision, raw, &new_id(received))).await;
    (response, assessed)
}

/// The response of an invocation. A panic that no stage catches gets the response for undecided events.
async fn catch_panics(
    health: &Health,
    handled: impl Future<Output = Result<RawEvent, Denial>>,
    fallback: impl FnOnce() -> Result<RawEvent, Denial>,
) -> Result<RawEvent, Denial> {
    catch_panic(health, handled).await.unwrap_or_else(|_| fallback())
}

/// The response to an event that cannot be decided: the unchanged event in monitor mode, else a denial. A payload that is not JSON cannot be sent back
/// and gets null; Lambda invokes no function with such a payload (`InvalidRequestContentException`).
fn respond_undecided(config: &DecisionConfig, raw: Option<RawEvent>, id: &SmolStr) -> Result<RawEvent, Denial> {
    let client = raw.as_ref().and_then(|raw| cognito::read_client_id(raw.text())).unwrap_or_default();
    match config.mode.of(&client) {
        Mode::Monitor => Ok(raw.unwrap_or_default()),
        Mode::Enforce => Err(Denial::new(&config.deny_message, id)),
    }
}

/// Writes the audit line, the metrics and the activity row of an assessment.
pub async fn record(instance: &Instance, Assessed(assessment, deadline): Assessed) {
    // The response is already sent, so a panic is only counted.
    let _ = catch_panic(instance.engine.health(), instance.record_assessment(&assessment, deadline)).await;
}

async fn handle(
    instance: &Instance,
    payload: Payload,
    received: ClockReading,
    limit: Option<Duration>,
    assessed: &mut Option<Assessed>,
) -> Result<RawEvent, Denial> {
    let message = instance.config.decision.deny_message.as_str();
    let Some(raw) = payload.0 else {
        let id = new_id(received);
        tracing::warn!(id = %id, "event is not JSON");
        instance.telemetry.emit(EventPassedThrough(PassThrough::Unreadable));
        return respond_undecided(&instance.config.decision, None, &id);
    };
    let wait = secrets_timeout(instance, limit);
    let parse = || cognito::parse(raw.clone(), received, &instance.trust.load());
    let mut event = parse();
    // Only sign-ins and an authorizer wait for a missing secret that they may need. With new keys, a context is parsed again.
    if matches!(event, Ok(Event::PreAuthentication(_) | Event::AuthChallenge(_) | Event::Authorize(_)))
        && instance.refresh_secrets(RenewalReason::Missing, wait, received).await == RenewalResult::Changed
    {
        event = parse();
    }
    match event {
        Err(error) => {
            let id = new_id(received);
            tracing::warn!(id = %id, problem = %error, "could not parse the event");
            instance.telemetry.emit(EventPassedThrough(PassThrough::Unreadable));
            respond_undecided(&instance.config.decision, Some(raw), &id)
        }
        Ok(Event::PreAuthentication(sign_in)) => {
            let raw = sign_in.raw.clone();
            let deadline = instance.engine.deadline(received.mono, limit);
            let _in_flight = instance.telemetry.in_flight();
            // The refresh is awaited. In the background, Lambda would freeze it after each response, and with few sign-ins it would never finish.
            let assessing = pin!(instance.engine.assess(sign_in, deadline));
            let (assessment, _) = futures_util::future::join(assessing, instance.refresh_secrets(RenewalReason::Stale, wait, received)).await;
            let denial = denial(&assessment, message);
            *assessed = Some(Assessed(assessment, deadline));
            denial.map_or(Ok(raw), Err)
        }
        Ok(Event::AuthChallenge(event)) => {
            let (engine, deadline) = (&instance.engine, instance.engine.deadline(received.mono, limit));
            let (sender, mode) = (instance.codes.load_full(), &instance.config.decision.mode);
            let _in_flight = instance.telemetry.in_flight();
            let handler = ChallengeHandler { engine, sender: &sender, mode, deny_message: message };
            let answering = Box::pin(handler.answer(&event, deadline));
            let ((response, assessment), _) = futures_util::future::join(answering, instance.refresh_secrets(RenewalReason::Stale, wait, received)).await;
            *assessed = assessment.map(|assessment| Assessed(assessment, deadline));
            instance.telemetry.record_challenge_codes(received.wall, deadline).await;
            response
        }
        Ok(Event::PostAuthentication(event)) => {
            let success = Box::pin(learn::post_authentication(instance.engine.enricher(), &event)).await.inspect_err(|cause| {
                tracing::warn!(id = %new_id(received), cause = cause.as_label(), "could not learn from the successful sign-in");
            });
            let awaited = success.as_ref().ok().and_then(|success| Some((success.session.clone()?, success.id.clone())));
            let (learned, assessment) = success.map_or((None, None), |success| (Some(success.learned), success.id));
            let queued = session_queue::queue_success(instance, &event, awaited, received, limit);
            let outcome = SignInOutcome {
                time: received.wall,
                id: assessment.as_deref(),
                report: ReportedOutcome::Success,
                learned,
                event: Some(&event),
                restored: None,
            };
            let recorded = instance.telemetry.record_outcome(&outcome, learn::response_deadline(instance.engine.enricher(), received, limit));
            futures_util::future::join(recorded, queued).await;
            Ok(event.raw)
        }
        Ok(Event::PreTokenGeneration(event)) => {
            let token = session_queue::TokenSession::of(instance, &event);
            match Box::pin(claims::pre_token_generation(instance.engine.enricher(), &instance.token_config(&event.client), *event)).await {
                Ok(edited) => {
                    if let Some(cause) = edited.missing {
                        tracing::warn!(id = %new_id(received), cause = cause.as_label(), "token issued without claims");
                    }
                    if let Some((token, facts)) = token.zip(edited.session) {
                        Box::pin(token.queue(instance, facts, received, limit)).await;
                    }
                    Ok(edited.event)
                }
                Err(suspended) => {
                    instance.telemetry.emit(TokenRefused);
                    Err(suspended
                        .message
                        .map_or_else(|| Denial::new(message, &new_id(received)), |block_message| Denial { message: block_message.to_string() }))
                }
            }
        }
        Ok(Event::Authorize(request)) => Box::pin(authorizer::authorize(instance, &request, received, limit)).await,
        Ok(Event::QueueBatch(batch)) => Ok(Box::pin(session_batch::judge(instance, &batch, received, limit)).await),
        Ok(Event::NotHandled(raw)) => {
            instance.telemetry.emit(EventPassedThrough(PassThrough::NotOurs));
            Ok(raw)
        }
        Ok(Event::Check) => Ok(Box::pin(check(instance, received, limit)).await),
    }
}

/// How long a sign-in may wait for secrets: at most a quarter of its budget.
fn secrets_timeout(instance: &Instance, limit: Option<Duration>) -> Duration {
    let budget = instance.config.budget.total;
    secrets::WAIT_TIMEOUT.min(limit.map_or(budget, |limit| limit.min(budget)) / 4)
}

/// The sign-in that `{"riskgate":"check"}` uses to probe the services and the store. It belongs to no person and has an address that every service knows.
const PROBE: &[u8] = br#"{"user":"riskgate:check","ip":"8.8.8.8"}"#;

/// The response to `{"riskgate":"check"}`: the current configuration with secrets masked, its errors, and the outcome and duration of
/// a probe of each service and the store.
async fn check(instance: &Instance, received: ClockReading, limit: Option<Duration>) -> RawEvent {
    let faults: Vec<String> = instance.faults.iter().map(ToString::to_string).collect();
    let mut probes = Vec::new();
    if let Ok(probe) = http::parse(PROBE, ClientIp::Missing, received) {
        let (enricher, deadline) = (instance.engine.enricher(), instance.engine.deadline(received.mono, limit));
        let (enriched, ()) = tokio::join!(enricher.enrich(probe, deadline), enricher.probe_store(received, deadline));
        let evidence = enriched.evidence;
        let history = ("history", evidence.history_outcome, evidence.took.history);
        let services = evidence.services.iter().map(|result| (result.service.as_label(), result.outcome, result.took));
        probes.extend(
            services.chain([history]).map(|(what, outcome, took)| json!({ "what": what, "outcome": outcome.as_label(), "took_ms": took.as_secs_f64() * 1e3 })),
        );
    }
    let secrets: Vec<_> = instance
        .secret_failures()
        .into_iter()
        .map(|(variable, cause)| json!({ "variable": format!("{PREFIX}{variable}"), "outcome": cause.map_or(Outcome::Fresh.as_label(), FailureReason::as_label) }))
        .collect();
    let failing: BTreeMap<&str, &str> = instance.engine.health().store.failing().map(|(part, cause)| (part.as_label(), cause.as_label())).collect();
    let report = json!({
        "riskgate": "check",
        "version": env!("CARGO_PKG_VERSION"),
        "faults": faults,
        "probes": probes,
        "secrets": secrets,
        // The parts whose last access failed, and what the operator can do.
        "store": { "failing": failing, "problem": instance.engine.enricher().store_problem() },
        // Whether codes of custom challenges can be sent, as far as that is known without sending one.
        "challenge": { "failures": instance.engine.health().challenge.failures(), "problem": instance.codes.load().problem() },
        // Whether sessions can be looked up, as the last look-ups showed: of this instance, and of any, by the store.
        "sessions": { "failures": instance.engine.health().sessions.failures(), "problem": instance.engine.health().sessions.problem().map(SessionProblem::help), "findings": session_findings(instance, received) },
        "notices": instance.notices(&env::ProcessEnv).iter().map(ToString::to_string).collect::<Vec<_>>(),
        // Shown only to callers with permission to invoke the function, not to every client of a socket.
        "variables": (instance.runtime_mode == RuntimeMode::Lambda).then(|| riskgate_config::settings(&env::ProcessEnv)),
    });
    to_raw_value(&report).map(RawEvent::new).unwrap_or_default()
}

/// The findings about sessions in the store.
fn session_findings(instance: &Instance, received: ClockReading) -> Vec<serde_json::Value> {
    let findings = instance.engine.enricher().repository().map(|repository| repository.session_findings(received.wall)).unwrap_or_default();
    let finding = |(pool, finding): (SmolStr, SessionFinding)| {
        let help = SessionProblem::from_label(&finding.problem).map(SessionProblem::help);
        json!({ "pool": pool, "problem": finding.problem, "at": finding.at, "help": help })
    };
    findings.into_iter().map(finding).collect()
}

/// The time until Lambda's deadline minus a margin; `None` when the deadline is implausible.
fn time_left(deadline_ms: u64, received: ClockReading) -> Option<Duration> {
    let now_ms = u64::try_from(received.wall.as_millisecond()).ok()?;
    let left = Duration::from_millis(deadline_ms.checked_sub(now_ms)?);
    (left <= MAX_TIMEOUT).then(|| left.saturating_sub(DEADLINE_MARGIN))
}

impl Payload {
    /// Parses the bytes of an event. Bytes that are not a single JSON value give an unreadable payload.
    pub fn from_slice(bytes: &[u8]) -> Self {
        Payload(serde_json::from_slice::<Box<RawValue>>(bytes).ok().map(RawEvent::new))
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Payload(Box::<RawValue>::deserialize(deserializer).ok().map(RawEvent::new)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use riskgate_config::Config;
    use riskgate_engine::settings::PerClient;

    #[tokio::test]
    async fn an_uncaught_panic_denies_except_in_monitor_mode_and_is_counted() {
        let health = Health::default();
        let event = r#"{"n":1.0,"callerContext":{"clientId":"web"}}"#;
        let raw = || serde_json::from_str(event).map(RawEvent::new).ok();
        let respond = async |mode: PerClient<Mode>| {
            let config = DecisionConfig { mode, deny_message: "No".to_owned(), ..Config::defaults().decision };
            catch_panics(&health, async { std::panic::panic_any("a bug") }, || respond_undecided(&config, raw(), &new_id(clock::read()))).await
        };
        let denied = respond(PerClient::all(Mode::Enforce)).await.expect_err("a denial");
        assert!(denied.message.starts_with("No ") && denied.message.len() == 29, "{}", denied.message);
        for (default, web) in [(Mode::Monitor, Mode::Monitor), (Mode::Enforce, Mode::Monitor)] {
            let mut mode = PerClient::all(default);
            mode.clients.insert("web".to_owned(), web);
            assert_eq!(respond(mode).await.expect("the event").text(), event);
        }
        assert_eq!(health.panics.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn implausible_deadlines_are_ignored() {
        let now = clock::read();
        let ms = u64::try_from(now.wall.as_millisecond()).expect("after 1970");
        for (deadline, expected) in
            [(0, None), (600_000, None), (u64::MAX, None), (ms - 1, None), (ms + 300, Some(200)), (ms + 50, Some(0)), (ms + 4_000, Some(3_900))]
        {
            assert_eq!(time_left(deadline, now), expected.map(Duration::from_millis), "{deadline}");
        }
    }
}
