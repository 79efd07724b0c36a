//! Figures of several rounds, and of one round.

/// One figure a round.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds a round's figure.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The median of the rounds.
    pub fn median(&self) -> f64 {
        quantile(&mut self.0.clone(), 0.5)
    }

    /// The lowest and the highest round.
    pub fn range(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
    }

    /// The median of the rounds' ratios to another program's: both had the same minute of the machine.
    pub fn ratio(&self, other: &Sample) -> f64 {
        quantile(&mut self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect::<Vec<_>>(), 0.5)
    }
}

/// The value that a share of the values does not exceed; not a number when there are none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}
