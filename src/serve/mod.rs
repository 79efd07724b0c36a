//! The faces: Lambda and the sidecar, around one instance of the gate.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use secrecy::SecretString;

use self::secrets::{Need, News, Secrets};

use crate::{
    assess::{Gate, Judge, open_model},
    config::{
        Config, OnBadConfig,
        decision::Mode,
        env::{Fault, PerClient, Strings},
        surroundings::Notice,
        token::TokenConfig,
        trust::TrustConfig,
    },
    event::Now,
    evidence::{Cause, Face, Sources},
    score::Model,
    telemetry::{
        Telemetry,
        events::{FaultFound, GateStarted, SecretMissing, SecretRefused, SecretsRenewed},
    },
};

pub mod dashboard;

pub mod lambda;

pub mod secrets;

pub mod sidecar;

pub mod shutdown;

/// One running riskgate: the configuration in force and what was built from it.
#[derive(Debug)]
pub struct Instance {
    /// The configuration in force.
    pub config: Config,
    /// What is wrong with it; empty outside Lambda.
    pub faults: Vec<Fault>,
    /// The gate.
    pub gate: Gate,
    /// What it says of itself.
    pub telemetry: Telemetry,
    /// Where it stands.
    pub face: Face,
    /// Whose context is believed, by the keys in force.
    pub trust: ArcSwap<TrustConfig>,
    /// The token in force, as every listener's shell holds it.
    token: Token,
    secrets: OnceLock<Secrets>,
}

/// The bearer token in force; none where callers need none.
pub type Token = Arc<ArcSwapOption<SecretString>>;

/// The configuration is faulty: every fault, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct BadConfig(pub Vec<Fault>);

impl Instance {
    /// Builds an instance that speaks as `face` does; any fault refuses it.
    ///
    /// # Errors
    ///
    /// Every fault of the variables, and of the files that they name.
    pub fn strict(config: Config, mut faults: Vec<Fault>, face: Face) -> Result<Arc<Self>, BadConfig> {
        let instance = Self::build(config, &mut faults, face);
        if faults.is_empty() { Ok(Arc::new(instance)) } else { Err(BadConfig(faults)) }
    }

    /// Builds an instance for Lambda, where a fault must not lock everybody out: it answers in monitor mode, unless told to refuse.
    ///
    /// # Errors
    ///
    /// As `strict`, when `ON_BAD_CONFIG` is `refuse`.
    pub fn lenient(config: Config, mut faults: Vec<Fault>) -> Result<Arc<Self>, BadConfig> {
        let refuse = config.on_bad_config == OnBadConfig::Refuse;
        let mut instance = Self::build(config.clone(), &mut faults, Face::Lambda);
        if !faults.is_empty() {
            if refuse {
                return Err(BadConfig(faults));
            }
            let mut config = config;
            config.decision.mode = PerClient::all(Mode::Monitor);
            instance = Self::build(config, &mut Vec::new(), Face::Lambda);
            faults.iter().for_each(|fault| instance.telemetry.emit(FaultFound(fault)));
            instance.gate.health().config_faults.store(faults.len() as u64, Ordering::Relaxed);
            instance.faults = faults;
        }
        Ok(Arc::new(instance))
    }

    fn build(config: Config, faults: &mut Vec<Fault>, face: Face) -> Self {
        let (sources, found) = Sources::open(&config, face);
        faults.extend(found);
        let model = open_model(&config.history).unwrap_or_else(|error| {
            faults.push(Fault { variable: "RISKGATE_MODEL".to_owned(), problem: error.to_string() });
            Model::bundled(&config.history)
        });
        let (telemetry, found) = Telemetry::open(&config, face, &sources);
        faults.extend(found);
        let gate = Gate::new(&config, sources, Judge::new(&config, model));
        let trust = ArcSwap::from_pointee(config.trust.clone());
        let token = Arc::new(ArcSwapOption::from_pointee(config.sidecar.token.clone()));
        Instance { config, faults: Vec::new(), gate, telemetry, face, trust, token, secrets: OnceLock::new() }
    }

    /// Logs that sign-ins are decided from now on: all that can refuse to start has been passed.
    pub fn report_ready(&self) {
        let services: Vec<&str> = self.config.services.services.iter().map(|service| service.service.as_label()).collect();
        self.telemetry.emit(GateStarted { face: self.face, model: self.gate.model().date(), services: &services });
    }

    /// Settings of the platform that the operator should know of.
    pub fn notices(&self, source: &dyn Strings) -> Vec<Notice> {
        Notice::all(source, &self.config)
    }

    /// Logs the platform's settings that the operator should know of.
    pub fn report_notices(&self, source: &dyn Strings) {
        // At the highest level, since a lower one may be what is dropped.
        self.notices(source).iter().for_each(|notice| tracing::error!(problem = %notice, "a setting of the platform needs attention"));
    }

    /// What tokens of a client are given: in monitor mode nothing is withheld or denied, whatever was decided before.
    pub fn token_config(&self, client: &str) -> Cow<'_, TokenConfig> {
        match self.config.decision.mode.of(client) {
            Mode::Enforce => Cow::Borrowed(&self.config.token),
            Mode::Monitor => {
                Cow::Owned(TokenConfig { withhold_groups: Vec::new(), withhold_scopes: Vec::new(), denied_clients: Vec::new(), ..self.config.token.clone() })
            }
        }
    }

    /// Takes the secrets that this instance was built with, to ask for them again, and tells of those that are missing.
    pub fn keep(&self, secrets: Secrets) {
        self.tell(&secrets);
        let _ = self.secrets.set(secrets);
    }

    /// The secret variables that are kept elsewhere, and why the newest value of each could not be had.
    pub fn secrets(&self) -> Vec<(&'static str, Option<Cause>)> {
        self.secrets.get().map(Secrets::causes).unwrap_or_default()
    }

    /// Asks for secrets, if they are needed for that reason, no longer than `wait`, and takes up what has changed.
    pub async fn refresh(&self, need: Need, wait: Duration, now: Now) -> News {
        let Some(secrets) = self.secrets.get() else { return News::None };
        if secrets.need(now, self.gate.health()) != Some(need) {
            return News::None;
        }
        let news = secrets.ask(wait, now).await;
        self.tell(secrets);
        if news == News::Changed { self.renew(secrets) } else { News::None }
    }

    /// Takes up the secrets in hand; what they make faulty stays as it was.
    fn renew(&self, secrets: &Secrets) -> News {
        let (config, faults) = secrets.read();
        let faults: Vec<Fault> = faults.into_iter().filter(|fault| !self.faults.contains(fault)).collect();
        let renewed = if faults.is_empty() { self.gate.sources().renew(&config) } else { Err(faults) };
        if let Err(faults) = renewed {
            faults.iter().for_each(|fault| self.telemetry.emit(SecretRefused(fault)));
            return News::None;
        }
        self.telemetry.renew(self.gate.sources());
        self.trust.store(Arc::new(config.trust));
        self.token.store(config.sidecar.token.map(Arc::new));
        self.telemetry.emit(SecretsRenewed);
        News::Changed
    }

    fn tell(&self, secrets: &Secrets) {
        let missing = secrets.causes().into_iter().filter_map(|(variable, cause)| Some((variable, cause?)));
        let count = missing.map(|(variable, cause)| self.telemetry.emit(SecretMissing { variable, cause })).count();
        self.gate.health().secrets_missing.store(count as u64, Ordering::Relaxed);
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
