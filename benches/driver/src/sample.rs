//! Statistics over the rounds of a measurement, and within a round.

/// One value per round.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds the value of a round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Returns the median of the rounds.
    pub fn median(&self) -> f64 {
        quantile(&mut self.0.clone(), 0.5)
    }

    /// Returns the lowest and the highest value.
    pub fn range(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
    }

    /// Returns the median of the ratios to another program, round by round. Both programs ran under the same load in each round.
    pub fn ratio(&self, other: &Sample) -> f64 {
        quantile(&mut self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect::<Vec<_>>(), 0.5)
    }
}

/// Returns the value that this share of the values does not exceed. NaN if there are no values.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}
