//! The Lambda face: one function for three triggers, told apart by their `triggerSource`.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde::{Deserialize, Deserializer};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use smol_str::SmolStr;
use tokio::{sync::Semaphore, time::Instant};
use tower::util::MapFutureLayer;

use super::{
    Instance,
    secrets::{self, Need, News},
};
use crate::{
    assess::new_id,
    claims,
    config::{
        self,
        decision::{DecisionConfig, Mode},
        env,
        variables::PREFIX,
    },
    event::{
        ClientIp, Now, RawEvent,
        cognito::{self, Event},
        http,
    },
    evidence::{
        Cause, Face, Outcome,
        health::Health,
        history::ledger::Report,
        resilience::{deadline::Deadline, rescue::rescue},
    },
    learn,
    response::{
        Assessment,
        cognito::{Denial, ERROR_TYPE, denial},
    },
    telemetry::{
        events::{EventHandedBack, TokenRefused},
        labels::HandBack,
        outcome::SignInOutcome,
        subscriber,
    },
};

/// Kept between our answer and Lambda's own deadline.
const MARGIN: Duration = Duration::from_millis(100);

/// How long log lines may take to be written before Lambda is asked for the next event.
const LOG_WAIT: Duration = Duration::from_millis(50);

/// A deadline farther away than Lambda's longest timeout is no deadline; a local runtime API sends such numbers.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The event as it came. Reading it cannot fail: lambda_runtime would show its parser's words to the person signing in.
#[derive(Debug)]
pub struct Payload(Option<RawEvent>);

/// Opens connections, then serves the Lambda runtime API until the process is asked to end; an invocation in hand is answered first.
///
/// # Errors
///
/// Those of the runtime API itself.
pub async fn run(instance: Arc<Instance>, stop: impl Future<Output = ()>) -> Result<(), lambda_runtime::Error> {
    // Nobody waits yet, and Lambda's init has a whole core to itself.
    instance.gate.sources().warm(Now::read()).await;
    instance.report_ready();
    let decided = LastDecided::default();
    let (hands, free) = one_hand(Arc::clone(&instance), Arc::clone(&decided));
    let runtime = Runtime::new(service_fn(move |event: LambdaEvent<Payload>| {
        let (instance, last) = (Arc::clone(&instance), Arc::clone(&decided));
        async move {
            let (answer, decided) = decide(&instance, event.payload, event.context.deadline).await;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = decided;
            answer
        }
    }));
    // A task of its own: what wakes the future that the whole runtime waits for costs a system call each time.
    let mut served = tokio::spawn(runtime.layer(MapFutureLayer::new(hands)).run());
    tokio::select! {
        ended = &mut served => return ended?,
        () = stop => {}
    }
    tokio::select! {
        ended = &mut served => ended?,
        _ = free.acquire() => {
            served.abort();
            Ok(())
        }
    }
}

/// An invocation under way, its answer included.
type Invocation<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A sign-in that was decided, and until when its line may be waited for.
#[derive(Debug)]
struct Decided(Assessment, Deadline);

/// What the invocation under way has decided and not recorded yet.
type LastDecided = Arc<Mutex<Option<Decided>>>;

/// What holds the one permit while an invocation is under way, and the permit to wait for.
///
/// The line of a sign-in is written when its answer is out: nobody waits for it then, and Lambda freezes no process before it
/// has asked for its next event.
fn one_hand<F>(instance: Arc<Instance>, last: LastDecided) -> (impl Fn(F) -> Invocation<F::Output> + Clone, Arc<Semaphore>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(1));
    let taken = Arc::clone(&free);
    let hands = move |invocation: F| -> Invocation<F::Output> {
        let (taken, instance, last) = (Arc::clone(&taken), Arc::clone(&instance), Arc::clone(&last));
        Box::pin(async move {
            let _hand = taken.acquire().await;
            let answered = invocation.await;
            let decided = last.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(decided) = decided {
                record(&instance, decided).await;
            }
            subscriber::flush(Deadline::after(Instant::now(), LOG_WAIT)).await;
            answered
        })
    };
    (hands, free)
}

/// Answers one invocation: the event as it came, or a fixed sentence.
///
/// # Errors
///
/// A denial, in the words that every denial has.
pub async fn answer(instance: &Instance, payload: Payload, deadline_ms: u64) -> Result<RawEvent, Diagnostic> {
    let (answer, decided) = decide(instance, payload, deadline_ms).await;
    if let Some(decided) = decided {
        record(instance, decided).await;
    }
    answer
}

/// The answer, and what is to be recorded of it.
async fn decide(instance: &Instance, payload: Payload, deadline_ms: u64) -> (Result<RawEvent, Diagnostic>, Option<Decided>) {
    let received = Now::read();
    let mut decided = None;
    let raw = payload.0.clone();
    // On the heap, since a future by value is copied whole at each layer that takes it, the runtime client's own included.
    let handled = Box::pin(handle(instance, payload, received, until(deadline_ms, received), &mut decided));
    let answer = answered(instance.gate.health(), handled, || undecidable(&instance.config.decision, raw, &new_id(received))).await;
    (answer, decided)
}

/// The answer of an invocation; a panic past every stage gets the answer of an event that cannot be decided.
async fn answered(
    health: &Health,
    handled: impl Future<Output = Result<RawEvent, Denial>>,
    undecidable: impl FnOnce() -> Result<RawEvent, Denial>,
) -> Result<RawEvent, Diagnostic> {
    rescue(health, handled).await.unwrap_or_else(|_| undecidable()).map_err(diagnostic)
}

/// The answer to an event that cannot be decided: in monitor mode the event as it came, else a denial. What is not JSON cannot be sent back, and is answered with null;
/// Lambda invokes no function with such a payload (`InvalidRequestContentException`).
fn undecidable(config: &DecisionConfig, raw: Option<RawEvent>, id: &SmolStr) -> Result<RawEvent, Denial> {
    let client = raw.as_ref().and_then(|raw| cognito::client_of(raw.text())).unwrap_or_default();
    match config.mode.of(&client) {
        Mode::Monitor => Ok(raw.unwrap_or_default()),
        Mode::Enforce => Err(Denial::new(&config.deny_message, id)),
    }
}

async fn record(instance: &Instance, Decided(assessment, deadline): Decided) {
    // A panic is counted; the answer is out.
    let _ = rescue(instance.gate.health(), instance.telemetry.assessed(&assessment, deadline)).await;
}

async fn handle(instance: &Instance, payload: Payload, received: Now, limit: Option<Duration>, decided: &mut Option<Decided>) -> Result<RawEvent, Denial> {
    let sentence = instance.config.decision.deny_message.as_str();
    let Some(raw) = payload.0 else {
        let id = new_id(received);
        tracing::warn!(id = %id, "the event is not JSON");
        instance.telemetry.emit(EventHandedBack(HandBack::Unreadable));
        return undecidable(&instance.config.decision, None, &id);
    };
    let wait = secrets_wait(instance, limit);
    let parse = || cognito::parse(raw.clone(), received, &instance.trust.load());
    let mut event = parse();
    // Only a sign-in waits for a secret that it has use for; with new keys its context is read anew.
    if matches!(event, Ok(Event::PreAuthentication(_))) && instance.refresh(Need::Missing, wait, received).await == News::Changed {
        event = parse();
    }
    match event {
        Err(bad) => {
            let id = new_id(received);
            tracing::warn!(id = %id, problem = %bad, "the event cannot be read");
            instance.telemetry.emit(EventHandedBack(HandBack::Unreadable));
            undecidable(&instance.config.decision, Some(raw), &id)
        }
        Ok(Event::PreAuthentication(sign_in)) => {
            let raw = sign_in.raw.clone();
            let deadline = instance.gate.deadline(received.mono, limit);
            let _counted = instance.telemetry.in_flight();
            // Not left to itself: frozen after the answer, it would be cut off each time where few sign in.
            let assessed = pin!(instance.gate.assess(sign_in, deadline));
            let (assessment, _) = futures_util::future::join(assessed, instance.refresh(Need::Old, wait, received)).await;
            let denial = denial(&assessment, sentence);
            *decided = Some(Decided(assessment, deadline));
            denial.map_or(Ok(raw), Err)
        }
        Ok(Event::PostAuthentication(event)) => {
            let success = Box::pin(learn::post_authentication(instance.gate.sources(), &event)).await.inspect_err(|cause| {
                tracing::warn!(id = %new_id(received), cause = cause.as_label(), "a success could not be learned");
            });
            let (learned, assessment) = success.map_or((None, None), |success| (Some(success.learned), success.id));
            let outcome = SignInOutcome { time: received.wall, id: assessment.as_deref(), report: Report::Success, learned, event: Some(&event) };
            instance.telemetry.heard(&outcome, learn::deadline(instance.gate.sources(), received, limit)).await;
            Ok(event.raw)
        }
        Ok(Event::PreTokenGeneration(event)) => {
            match Box::pin(claims::pre_token_generation(instance.gate.sources(), &instance.token_config(&event.client), *event)).await {
                Ok(claimed) => {
                    if let Some(cause) = claimed.missing {
                        tracing::warn!(id = %new_id(received), cause = cause.as_label(), "a token was made without claims");
                    }
                    Ok(claimed.event)
                }
                Err(suspended) => {
                    instance.telemetry.emit(TokenRefused);
                    Err(suspended.message.map_or_else(|| Denial::new(sentence, &new_id(received)), |message| Denial { message: message.to_string() }))
                }
            }
        }
        Ok(Event::NotOurs(raw)) => {
            instance.telemetry.emit(EventHandedBack(HandBack::NotOurs));
            Ok(raw)
        }
        Ok(Event::Check) => Ok(Box::pin(check(instance, received, limit)).await),
    }
}

/// How long a sign-in may wait for secrets: a quarter of its budget at most.
fn secrets_wait(instance: &Instance, limit: Option<Duration>) -> Duration {
    let budget = instance.config.budget.total;
    secrets::WAIT.min(limit.map_or(budget, |limit| limit.min(budget)) / 4)
}

/// The sign-in by which `{"riskgate":"check"}` tries the services and the store: nobody's, from an address that every service knows.
const PROBE: &[u8] = br#"{"user":"riskgate:check","ip":"8.8.8.8"}"#;

/// The answer to `{"riskgate":"check"}`: the configuration in force with secrets masked, what is wrong with it, and how
/// each service and the store answer a probe, and after how long.
async fn check(instance: &Instance, received: Now, limit: Option<Duration>) -> RawEvent {
    let faults: Vec<String> = instance.faults.iter().map(ToString::to_string).collect();
    let mut probes = Vec::new();
    if let Ok(probe) = http::parse(PROBE, ClientIp::Missing, received) {
        let (sources, deadline) = (instance.gate.sources(), instance.gate.deadline(received.mono, limit));
        let (gathered, ()) = tokio::join!(sources.gather(probe, deadline), sources.probe_store(received, deadline));
        let evidence = gathered.evidence;
        let history = ("history", evidence.history_outcome, evidence.took.history);
        let asked = evidence.services.iter().map(|asked| (asked.service.as_label(), asked.outcome, asked.took));
        probes.extend(
            asked.chain([history]).map(|(what, outcome, took)| json!({ "what": what, "outcome": outcome.as_label(), "took_ms": took.as_secs_f64() * 1e3 })),
        );
    }
    let secrets: Vec<_> = instance
        .secrets()
        .into_iter()
        .map(|(variable, cause)| json!({ "variable": format!("{PREFIX}{variable}"), "outcome": cause.map_or(Outcome::Fresh.as_label(), Cause::as_label) }))
        .collect();
    let failing: BTreeMap<&str, &str> = instance.gate.health().store.failing().map(|(part, cause)| (part.as_label(), cause.as_label())).collect();
    let answer = json!({
        "riskgate": "check",
        "version": env!("CARGO_PKG_VERSION"),
        "faults": faults,
        "probes": probes,
        "secrets": secrets,
        // By part, what could not be read or written at the last try, and what the operator can do.
        "store": { "failing": failing, "problem": instance.gate.sources().store_problem() },
        "notices": instance.notices(&env::ProcessEnv).iter().map(ToString::to_string).collect::<Vec<_>>(),
        // Who may invoke the function may see them; who reaches a socket may not.
        "variables": (instance.face == Face::Lambda).then(|| config::settings(&env::ProcessEnv)),
    });
    to_raw_value(&answer).map(RawEvent::new).unwrap_or_default()
}

/// The time until Lambda's own deadline less a margin; `None` when the deadline cannot be believed.
fn until(deadline_ms: u64, received: Now) -> Option<Duration> {
    let now_ms = u64::try_from(received.wall.as_millisecond()).ok()?;
    let left = Duration::from_millis(deadline_ms.checked_sub(now_ms)?);
    (left <= LONGEST_TIMEOUT).then(|| left.saturating_sub(MARGIN))
}

fn diagnostic(denial: Denial) -> Diagnostic {
    Diagnostic { error_type: ERROR_TYPE.to_owned(), error_message: denial.message }
}

// === impl Payload ===

impl Payload {
    /// Reads an event's bytes; what is not one JSON value is kept as unreadable.
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
    use crate::config::{Config, env::PerClient};

    #[tokio::test]
    async fn a_panic_past_every_stage_is_a_denial_except_in_monitor_mode_and_is_counted() {
        let health = Health::default();
        let event = r#"{"n":1.0,"callerContext":{"clientId":"web"}}"#;
        let raw = || serde_json::from_str(event).map(RawEvent::new).ok();
        let answer = async |mode: PerClient<Mode>| {
            let config = DecisionConfig { mode, deny_message: "No".to_owned(), ..Config::defaults().decision };
            answered(&health, async { std::panic::panic_any("a bug") }, || undecidable(&config, raw(), &new_id(Now::read()))).await
        };
        let denied = answer(PerClient::all(Mode::Enforce)).await.expect_err("a denial");
        assert!(denied.error_message.starts_with("No ") && denied.error_message.len() == 29, "{}", denied.error_message);
        for (default, web) in [(Mode::Monitor, Mode::Monitor), (Mode::Enforce, Mode::Monitor)] {
            let mut mode = PerClient::all(default);
            mode.clients.insert("web".to_owned(), web);
            assert_eq!(answer(mode).await.expect("the event").text(), event);
        }
        assert_eq!(health.panics.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn only_plausible_deadlines_are_believed() {
        let now = Now::read();
        let ms = u64::try_from(now.wall.as_millisecond()).expect("after 1970");
        for (deadline, expected) in
            [(0, None), (600_000, None), (u64::MAX, None), (ms - 1, None), (ms + 300, Some(200)), (ms + 50, Some(0)), (ms + 4_000, Some(3_900))]
        {
            assert_eq!(until(deadline, now), expected.map(Duration::from_millis), "{deadline}");
        }
    }
}
