//! The faces: Lambda and the sidecar, around one instance of the gate.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    assess::{Gate, Judge, open_model},
    config::{
        Config, OnBadConfig,
        decision::Mode,
        env::{Fault, PerClient},
    },
    evidence::{Face, Sources},
    score::Model,
    telemetry::{
        Telemetry,
        events::{FaultFound, GateStarted},
    },
};

pub mod dashboard;

pub mod lambda;

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
}

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
        if face != Face::Command {
            let services: Vec<&str> = config.services.services.iter().map(|service| service.service.as_label()).collect();
            telemetry.emit(GateStarted { face, model: gate.model().date(), services: &services });
        }
        Instance { config, faults: Vec::new(), gate, telemetry, face }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
