//! The history of the demo's users. It is learned from before the demo starts, and neither metrics nor dashboard count it.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::commands::demo::population::PlannedSignIn;
use riskgate_engine::{client_ip::ClientIp, time::EventTime};
use riskgate_event::http::parse;
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_pipeline::{instance::Instance, learn};
use riskgate_runtime::clock;

/// Sign-ins that are assessed at the same time. More of them would exceed the risk service's timeout on a slow machine, and nothing is learned from a
/// degraded sign-in.
const CONCURRENCY: usize = 8;

/// Learns from past sign-ins, one day after the other.
///
/// # Errors
///
/// A sign-in is invalid, or the store cannot be written.
pub async fn import(instance: &Instance, days: &[Vec<PlannedSignIn>]) -> anyhow::Result<()> {
    for day in days {
        stream::iter(day).map(|sign_in| learn_from(instance, sign_in)).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
    }
    Ok(())
}

async fn learn_from(instance: &Instance, planned: &PlannedSignIn) -> anyhow::Result<()> {
    let received = clock::read();
    let sign_in = parse(planned.body.to_string().as_bytes(), ClientIp::default(), received)?;
    let assessment = instance.engine.assess(sign_in, instance.engine.deadline(received.mono, None)).await;
    let now = clock::read();
    learn::record_outcome(instance.engine.enricher(), &assessment.id, ReportedOutcome::Success, EventTime::new(now.wall), now)
        .await
        .map_err(|cause| anyhow::anyhow!("the history cannot be stored: {}", cause.as_label()))?;
    Ok(())
}
