//! The history of the demo's users. It is learned from before the demo starts, and neither metrics nor dashboard count it.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use crate::commands::demo::population::PlannedSignIn;
use riskgate_engine::{client_ip::ClientIp, evidence::FailureReason, time::EventTime};
use riskgate_event::http::parse;
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_pipeline::{instance::Instance, learn};
use riskgate_runtime::clock;
use riskgate_telemetry::writer::LineWriter;

/// Sign-ins that are assessed at the same time. More of them would exceed the risk service's timeout on a slow machine, and nothing is learned from a
/// degraded sign-in.
const CONCURRENCY: usize = 8;

/// How long a store that does not answer in time is tried again for one sign-in.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The pause before it is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The interval between two lines about the progress. A fast store needs none.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Learns from past sign-ins, one day after the other. A slow store is waited for, and `out` shows the progress.
///
/// # Errors
///
/// A sign-in is invalid, or the store has not answered for a minute.
pub async fn import(instance: &Instance, days: &[Vec<PlannedSignIn>], out: &LineWriter) -> anyhow::Result<()> {
    let total: usize = days.iter().map(Vec::len).sum();
    let (mut learned, mut shown_at) = (0_usize, Instant::now());
    for day in days {
        let mut sign_ins = stream::iter(day).map(|sign_in| learn_from(instance, sign_in)).buffer_unordered(CONCURRENCY);
        while sign_ins.try_next().await?.is_some() {
            learned += 1;
            if shown_at.elapsed() >= PROGRESS_INTERVAL {
                shown_at = Instant::now();
                out.write(format!("learning from past sign-ins: {learned} of {total}\n").as_bytes());
            }
        }
    }
    Ok(())
}

async fn learn_from(instance: &Instance, planned: &PlannedSignIn) -> anyhow::Result<()> {
    let until = Instant::now() + MAX_WAIT;
    loop {
        match try_to_learn(instance, planned, until).await? {
            Ok(()) => return Ok(()),
            Err(cause) if Instant::now() >= until => anyhow::bail!("the history cannot be stored: {}", cause.as_label()),
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
}

/// Assesses the sign-in and reports its success, again and again until `until` if the store is slow. The inner error is why the sign-in has to
/// be assessed again.
async fn try_to_learn(instance: &Instance, planned: &PlannedSignIn, until: Instant) -> anyhow::Result<Result<(), FailureReason>> {
    let received = clock::read();
    let sign_in = parse(planned.body.to_string().as_bytes(), ClientIp::default(), received)?;
    let assessment = instance.engine.assess(sign_in, instance.engine.deadline(received.mono, None)).await;
    if let Some(cause) = assessment.decision.score.signals.evidence.history_outcome.cause() {
        return Ok(Err(cause));
    }
    loop {
        let now = clock::read();
        let reported = learn::record_outcome(instance.engine.enricher(), &assessment.id, ReportedOutcome::Success, EventTime::new(now.wall), now).await;
        match reported {
            Ok(_) => return Ok(Ok(())),
            Err(cause) if Instant::now() >= until => return Ok(Err(cause)),
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
}
