//! The routes `/healthz` and `/readyz`.

use std::sync::{Arc, atomic::Ordering};

use axum::{Json, extract::State};
use serde::Serialize;

use riskgate_engine::evidence::store_parts::StorePart;
use riskgate_history::repository::HistoryRepository;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::clock;
use riskgate_runtime::{
    health::{BreakerState, Health},
    session_health::SessionProblem,
    sharing::AddressProblem,
};
use riskgate_telemetry::subscriber;

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether sign-ins can be decided. Always true once the process listens.
    ready: bool,
    /// What decisions are currently missing, with the cause.
    degraded: Vec<Degraded>,
    /// Parts of the bundled network data that are older than 60 days. They are still used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outdated: Vec<Outdated>,
}

/// A part of the bundled network data that is too old.
#[derive(Debug, Serialize)]
struct Outdated {
    what: &'static str,
    age_days: u64,
    help: &'static str,
}

/// One input or output that currently fails.
#[derive(Debug, Serialize)]
struct Degraded {
    what: &'static str,
    why: &'static str,
    /// The age of the block list, of the service's decisions in force, or of the finding about sessions, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// What the operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// `GET /healthz`: the process responds.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: sign-ins can be decided. The body lists what is degraded.
pub async fn readyz(State(instance): State<Arc<Instance>>) -> Json<Readiness> {
    let health = instance.engine.health();
    let mut degraded: Vec<Degraded> =
        instance.config.services.services.iter().filter_map(|configured| degraded_service(health, configured.service())).collect();
    if health.networks_outdated.load(Ordering::Relaxed) > 0 {
        degraded.push(Degraded { what: "networks", why: "a changed file could not be read; the previous one is still used", age_s: None, help: None });
    }
    let now = u64::try_from(clock::read().wall.as_second()).unwrap_or_default();
    let read = Some(health.store.block_list_read()).filter(|read| *read > 0);
    let help = instance.engine.enricher().store_problem();
    degraded.extend(health.store.failing().map(|(part, cause)| {
        let age_s = read.filter(|_| part == StorePart::BlockList).map(|read| now.saturating_sub(read));
        Degraded { what: part.as_label(), why: cause.as_label(), age_s, help: help.clone() }
    }));
    for fault in AddressProblem::ALL.into_iter().filter(|fault| health.sharing.addresses.affected_clients(*fault) > 0) {
        degraded.push(Degraded { what: "client_ip", why: fault.as_label(), age_s: None, help: Some(fault.help().to_owned()) });
    }
    if health.sharing.devices.shared_ids() > 0 {
        let help = "a device id that more than 20 users share tells no device and speaks for no user: let the app make a random one on each device".to_owned();
        degraded.push(Degraded { what: "device_id", why: "shared", age_s: None, help: Some(help) });
    }
    if let Some(repository) = instance.engine.enricher().repository() {
        degraded.extend(session_findings(&instance, &repository));
    }
    for (what, is_failing) in [("audit", instance.telemetry.is_failing()), ("logs", subscriber::is_failing())] {
        if is_failing {
            degraded.push(Degraded { what, why: "lines_lost", age_s: None, help: None });
        }
    }
    let help = "update riskgate, or set RISKGATE_CITY_DB, RISKGATE_ASN_DB or RISKGATE_ANONYMOUS_DB to a newer file";
    let outdated = health.outdated_data(now).map(|(part, age_days)| Outdated { what: part.as_label(), age_days, help }).collect();
    Json(Readiness { ready: true, degraded, outdated })
}

/// Why sessions of user pools cannot be looked up, as the session function last found and stored.
fn session_findings(instance: &Instance, repository: &Arc<HistoryRepository>) -> Vec<Degraded> {
    let now = clock::read().wall;
    if instance.config.sessions.queue.is_some() {
        // A sidecar without sign-ins reads the list for the next probe.
        let repository = Arc::clone(repository);
        tokio::spawn(async move { repository.refresh_session_findings(now).await });
    }
    let degraded = repository.session_findings(now).into_iter().filter_map(|(pool, finding)| {
        let problem = SessionProblem::from_label(&finding.problem)?;
        let age_s = u64::try_from(now.as_second() - finding.at.as_second()).unwrap_or_default();
        Some(Degraded { what: "sessions", why: problem.as_label(), age_s: Some(age_s), help: Some(format!("user pool {pool}: {}", problem.help())) })
    });
    degraded.collect()
}

fn degraded_service(health: &Health, service: riskgate_engine::service::Service) -> Option<Degraded> {
    let state = health.service(service);
    let mut age_s = None;
    let fault = state.fault();
    let why = match (fault, state.breaker()) {
        (Some(fault), _) => fault.as_label(),
        (None, BreakerState::Open) => "breaker_open",
        (None, BreakerState::HalfOpen) => "half_open",
        (None, BreakerState::Closed) => {
            let (cause, age) = state.unread()?;
            age_s = age;
            cause.as_label()
        }
    };
    Some(Degraded { what: service.as_label(), why, age_s, help: fault.map(|fault| fault.help().to_owned()) })
}
