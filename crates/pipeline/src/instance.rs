//! One running riskgate: configuration, engine, telemetry and secrets. Lambda, the sidecar and the commands share it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::secrets::{RenewalReason, RenewalResult, Secrets};

use crate::{
    activity_log::ActivityLog,
    challenge::delivery::CodeSender,
    enricher::Enricher,
    risk_engine::{RiskEngine, open_model},
    sessions::Sessions,
};
use riskgate_config::{
    Config, OnBadConfig,
    dashboard::DashboardConfig,
    env::{ConfigError, EnvSource},
    notices::Notice,
    token::TokenConfig,
    trust::TrustConfig,
};
use riskgate_engine::{
    evaluator::Evaluator,
    evidence::FailureReason,
    score::model::Model,
    settings::{Mode, PerClient},
    time::ClockReading,
};
use riskgate_event::response::Assessment;
use riskgate_http_client::Client;
use riskgate_pool::AttackNotice;
use riskgate_runtime::{clock, deadline::Deadline, mode::RuntimeMode, session_health::SessionEvent};
use riskgate_telemetry::{
    Telemetry,
    attack_line::AttackLine,
    events::{ConfigErrorFound, EngineStarted, SecretMissing, SecretRefused, SecretsRotated},
    outcome::SignInOutcome,
};
use riskgate_tokens::TokenVerifier;

/// One running riskgate: the current configuration and everything that was built from it.
#[derive(Debug)]
pub struct Instance {
    /// The configuration in use.
    pub config: Config,
    /// The errors in the configuration; empty outside Lambda.
    pub faults: Vec<ConfigError>,
    /// The risk engine.
    pub engine: RiskEngine,
    /// Metrics, audit lines and log events.
    pub telemetry: Telemetry,
    /// Decisions and outcomes for the dashboard of a shared store.
    pub activity_log: ActivityLog,
    /// How this process runs.
    pub runtime_mode: RuntimeMode,
    /// Which signed contexts are trusted, with the current keys.
    pub trust: ArcSwap<TrustConfig>,
    /// Sends the codes of custom challenges, with the current secret.
    pub codes: ArcSwap<CodeSender>,
    /// Looks up sessions of the user pool; `None` when `SESSION_QUEUE` is not set.
    pub sessions: Option<Sessions>,
    /// Verifies tokens for step-up; `None` when `STEP_UP_POOLS` is not set.
    pub step_up: Option<TokenVerifier>,
    /// Who may see and act in the dashboard, with the current tokens.
    pub dashboard_access: Arc<ArcSwap<DashboardConfig>>,
    /// The bearer token, shared with every listener.
    pub token: Token,
    secrets: OnceLock<Secrets>,
}

/// How long the line about an attack may take to be written in Lambda.
const LINE_TIMEOUT: Duration = Duration::from_millis(50);

/// The current bearer token; empty when none is required.
pub type Token = Arc<ArcSwapOption<SecretString>>;

/// The configuration is invalid. The message has one line for each error.
#[derive(Debug, thiserror::Error)]
#[error("{}", join_lines(.0))]
pub struct BadConfig(pub Vec<ConfigError>);

impl Instance {
    /// Builds an instance and rejects any configuration error.
    ///
    /// # Errors
    ///
    /// Every error in the variables and in the files that they name.
    pub fn strict(config: Config, mut faults: Vec<ConfigError>, runtime_mode: RuntimeMode) -> Result<Arc<Self>, BadConfig> {
        let instance = Self::build(config, &mut faults, runtime_mode);
        if faults.is_empty() { Ok(Arc::new(instance)) } else { Err(BadConfig(faults)) }
    }

    /// Builds an instance for Lambda. A configuration error must not lock all users out, so the instance then runs in monitor mode.
    ///
    /// # Errors
    ///
    /// The same as `strict`, only when `ON_BAD_CONFIG` is `refuse`.
    pub fn lenient(config: Config, mut faults: Vec<ConfigError>) -> Result<Arc<Self>, BadConfig> {
        let is_refused = config.on_bad_config == OnBadConfig::Refuse;
        let mut instance = Self::build(config.clone(), &mut faults, RuntimeMode::Lambda);
        if !faults.is_empty() {
            if is_refused {
                return Err(BadConfig(faults));
            }
            let mut config = config;
            config.decision.mode = PerClient::all(Mode::Monitor);
            instance = Self::build(config, &mut Vec::new(), RuntimeMode::Lambda);
            faults.iter().for_each(|fault| instance.telemetry.emit(ConfigErrorFound(fault)));
            instance.engine.health().config_faults.store(faults.len() as u64, Ordering::Relaxed);
            instance.faults = faults;
        }
        Ok(Arc::new(instance))
    }

    fn build(config: Config, faults: &mut Vec<ConfigError>, runtime_mode: RuntimeMode) -> Self {
        let (enricher, found) = Enricher::open(&config, runtime_mode);
        faults.extend(found);
        let model = open_model(&config.history).unwrap_or_else(|error| {
            faults.push(ConfigError { variable: "RISKGATE_MODEL".to_owned(), problem: error.to_string() });
            Model::bundled(config.history.model_config())
        });
        let (telemetry, found) = Telemetry::open(&config, runtime_mode, enricher.health(), enricher.pseudonyms());
        faults.extend(found);
        let (codes, found) = CodeSender::open(&config, runtime_mode);
        faults.extend(found);
        let codes = ArcSwap::from_pointee(codes);
        let client = || Client::new(config.step_up.connect_timeout, runtime_mode, enricher.tls().clone());
        let step_up = (!config.step_up.issuers.is_empty()).then(|| TokenVerifier::new(&config.step_up, client(), enricher.health()));
        let sessions = Sessions::open(&config, runtime_mode, enricher.tls());
        let engine = RiskEngine::new(&config, enricher, Evaluator::new(&config.decision, model));
        let trust = ArcSwap::from_pointee(config.trust.clone());
        let dashboard_access = Arc::new(ArcSwap::from_pointee(config.dashboard.clone()));
        let token = Arc::new(ArcSwapOption::from_pointee(config.sidecar.token.clone()));
        let activity_log = ActivityLog::new(config.history.activity_ttl, runtime_mode);
        Instance {
            config,
            faults: Vec::new(),
            engine,
            telemetry,
            activity_log,
            runtime_mode,
            trust,
            codes,
            sessions,
            step_up,
            dashboard_access,
            token,
            secrets: OnceLock::new(),
        }
    }

    /// Logs that the instance is ready, after everything that can fail at start has succeeded.
    pub fn report_ready(&self) {
        let services: Vec<&str> = self.config.services.services.iter().map(|service| service.service().as_label()).collect();
        self.telemetry.emit(EngineStarted { runtime_mode: self.runtime_mode, model: self.engine.model().date(), services: &services });
    }

    /// Records an assessed sign-in: in metrics, audit line and dashboard, and in the activity table of a shared store.
    ///
    /// In Lambda it waits until both are written or the deadline has passed. In the sidecar it returns immediately.
    pub async fn record_assessment(&self, assessment: &Assessment, deadline: Deadline) {
        let logged = self.activity_log.record_decision(self.engine.enricher(), assessment, deadline);
        futures_util::future::join(self.telemetry.record_assessment(assessment, deadline), logged).await;
    }

    /// Records an outcome that a caller of the sidecar or an operator reported: in metrics and a line, and in the activity table.
    pub async fn record_report(&self, outcome: &SignInOutcome<'_>, now: Timestamp, deadline: Deadline) {
        let logged = self.activity_log.record_outcome(self.engine.enricher(), outcome, now, deadline);
        futures_util::future::join(self.telemetry.record_outcome(outcome, deadline), logged).await;
    }

    /// Records that the session of an assessed sign-in was judged: in a second line, and in the activity table.
    pub async fn record_session(&self, assessment: &Assessment, result: SessionEvent, deadline: Deadline) {
        let logged = self.activity_log.record_session(self.engine.enricher(), assessment, result, clock::read().wall, deadline);
        futures_util::future::join(self.telemetry.record_session(assessment, result, deadline), logged).await;
    }

    /// Writes what is pending for the audit log and the activity table, before the process ends.
    pub async fn flush(&self, deadline: Deadline) {
        let logged = self.activity_log.flush(self.engine.enricher(), clock::read().wall, deadline);
        futures_util::future::join(self.telemetry.flush(deadline), logged).await;
    }

    /// Settings that need the operator's attention.
    pub fn notices(&self, source: &dyn EnvSource) -> Vec<Notice> {
        let is_sidecar = self.runtime_mode == RuntimeMode::Sidecar;
        Notice::all(source, &self.config).into_iter().filter(|notice| !(is_sidecar && *notice == Notice::CodesWithoutStore)).collect()
    }

    /// Logs the settings that need the operator's attention.
    pub fn report_notices(&self, source: &dyn EnvSource) {
        // At the highest level, because lower levels may be filtered out.
        self.notices(source).iter().for_each(|notice| tracing::error!(problem = %notice, "a setting needs attention"));
    }

    /// The token settings of a client. In monitor mode nothing is withheld or denied, whatever was decided before.
    pub fn token_config(&self, client: &str) -> Cow<'_, TokenConfig> {
        match self.config.decision.mode.of(client) {
            Mode::Enforce => Cow::Borrowed(&self.config.token),
            Mode::Monitor => {
                let withholds_nothing =
                    TokenConfig { withhold_groups: Vec::new(), withhold_scopes: Vec::new(), withhold_own_account: false, ..self.config.token.clone() };
                Cow::Owned(TokenConfig { denied_clients: Vec::new(), ..withholds_nothing })
            }
        }
    }

    /// Stores the secrets that this instance was built with for later renewal, and reports the missing ones.
    pub fn set_secrets(&self, secrets: Secrets) {
        self.report_missing(&secrets);
        let _ = self.secrets.set(secrets);
    }

    /// The variables that reference a secret, each with the reason why its newest value could not be fetched.
    pub fn secret_failures(&self) -> Vec<(&'static str, Option<FailureReason>)> {
        self.secrets.get().map(Secrets::failures).unwrap_or_default()
    }

    /// Writes the counts of pools, reads their states where that is due, and reports what happened to attacks. Not in front of an answer.
    pub async fn update_pools(&self, now: ClockReading) {
        for AttackNotice { pool, event, attack } in self.engine.enricher().update_pools(now).await {
            let line = AttackLine { time: now.wall, pool: &pool, event: event.as_label(), attack: &attack };
            self.telemetry.record_attack(&line, Deadline::after(Instant::now(), LINE_TIMEOUT)).await;
        }
    }

    /// Fetches the secrets if a renewal is due for this reason, for at most `wait`, and applies the changed ones.
    pub async fn refresh_secrets(&self, reason: RenewalReason, wait: Duration, now: ClockReading) -> RenewalResult {
        let Some(secrets) = self.secrets.get() else { return RenewalResult::Unchanged };
        if secrets.due_renewal(now, self.engine.health()) != Some(reason) {
            return RenewalResult::Unchanged;
        }
        let result = secrets.fetch(wait, now).await;
        self.report_missing(secrets);
        if result == RenewalResult::Changed { self.apply_secrets(secrets) } else { RenewalResult::Unchanged }
    }

    /// Applies the fetched secrets. If they make the configuration invalid, nothing changes.
    fn apply_secrets(&self, secrets: &Secrets) -> RenewalResult {
        let (config, faults) = secrets.read_config();
        let faults: Vec<ConfigError> = faults.into_iter().filter(|fault| !self.faults.contains(fault)).collect();
        let renewed = if faults.is_empty() { self.engine.enricher().renew(&config) } else { Err(faults) };
        if let Err(faults) = renewed {
            faults.iter().for_each(|fault| self.telemetry.emit(SecretRefused(fault)));
            return RenewalResult::Unchanged;
        }
        self.telemetry.replace_pseudonyms(self.engine.enricher().pseudonyms());
        // The texts were read at start, and their faults reported then.
        self.codes.store(Arc::new(CodeSender::open(&config, self.runtime_mode).0));
        self.trust.store(Arc::new(config.trust));
        self.dashboard_access.store(Arc::new(config.dashboard));
        self.token.store(config.sidecar.token.map(Arc::new));
        self.telemetry.emit(SecretsRotated);
        RenewalResult::Changed
    }

    fn report_missing(&self, secrets: &Secrets) {
        let missing = secrets.failures().into_iter().filter_map(|(variable, cause)| Some((variable, cause?)));
        let count = missing.map(|(variable, cause)| self.telemetry.emit(SecretMissing { variable, cause })).count();
        self.engine.health().secrets_missing.store(count as u64, Ordering::Relaxed);
    }
}

fn join_lines(faults: &[ConfigError]) -> String {
    faults.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
}
