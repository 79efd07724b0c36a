//! Enrichers and engines for tests, configured by variables.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    evaluator::Evaluator,
    evidence::{Evidence, ProviderResult},
    score::model::Model,
    service::Service,
    sign_in::SignIn,
};
use riskgate_event::http;
use riskgate_pipeline::{enricher::Enricher, risk_engine::RiskEngine};
use riskgate_runtime::{clock, deadline::Deadline, health::Health, mode::RuntimeMode};
use riskgate_store::memory::Memory;

/// Longer than any wait that ends, even on a busy machine.
pub const HANG: Duration = Duration::from_secs(20);

/// Timeouts that hold on a busy machine, for tests that are not about timeouts.
const GENEROUS: [(&str, &str); 3] = [("BUDGET", "2900ms"), ("PROVIDER_TIMEOUT", "2500ms"), ("CONNECT_TIMEOUT", "2s")];

/// An enricher configured by variables, which are given without their prefix.
pub struct TestEnricher {
    pub sources: Enricher,
    budget: Duration,
}

impl TestEnricher {
    #[track_caller]
    pub fn new(runtime_mode: RuntimeMode, variables: &[(&str, &str)]) -> Self {
        let is_about_time = variables.iter().any(|(name, _)| GENEROUS.iter().any(|(generous, _)| generous == name));
        let generous = if is_about_time { &[][..] } else { &GENEROUS[..] };
        let map: BTreeMap<String, String> = generous.iter().chain(variables).map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        assert!(faults.is_empty(), "{faults:?}");
        let (sources, faults) = Enricher::open(&config, runtime_mode);
        assert!(faults.is_empty(), "{faults:?}");
        TestEnricher { sources, budget: config.budget.total }
    }

    pub async fn gather(&self, sign_in: SignIn) -> Box<Evidence> {
        let deadline = Deadline::after(sign_in.received.mono, self.budget);
        self.sources.enrich(sign_in, deadline).await.evidence
    }

    /// Looks up an address and returns the result of the one configured service.
    pub async fn ask(&self, ip: &str) -> ProviderResult {
        self.gather(sign_in(ip)).await.services.into_iter().next().expect("one service is configured")
    }

    /// As `ask`, with the time of the sign-in.
    pub async fn ask_at(&self, ip: &str, time: &str) -> ProviderResult {
        let evidence = self.gather(described(&format!(r#"{{"user":"user-{ip}","ip":"{ip}","time":"{time}"}}"#))).await;
        evidence.services.into_iter().next().expect("one service is configured")
    }

    /// The label of the one service's outcome.
    pub async fn outcome(&self, ip: &str) -> &'static str {
        self.ask(ip).await.outcome.as_label()
    }

    pub fn health(&self) -> &Arc<Health> {
        self.sources.health()
    }

    /// How many requests were sent to a service.
    pub fn calls(&self, service: Service) -> u64 {
        self.health().service(service).calls.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A sign-in of a trusted caller from an address. Each address has its own user name, so no account has a long history.
pub fn sign_in(ip: &str) -> SignIn {
    described(&format!(r#"{{"user":"user-{ip}","ip":"{ip}","userAgent":"Mozilla/5.0 (X11) Probe/1.0","deviceId":"device-1","acceptLanguage":"nb-NO"}}"#))
}

/// An engine of the sidecar over an empty store in memory.
pub fn engine(config: &Config) -> RiskEngine {
    let (enricher, faults) = Enricher::open(config, RuntimeMode::Sidecar);
    assert!(faults.is_empty(), "{faults:?}");
    let enricher = enricher.with_store(config, Arc::new(Memory::default()));
    RiskEngine::new(config, enricher, Evaluator::new(&config.decision, Model::bundled(config.history.model_config())))
}

/// A sign-in in the sidecar's JSON.
pub fn described(body: &str) -> SignIn {
    http::parse(body.as_bytes(), ClientIp::Missing, clock::read()).expect("an assess request")
}
