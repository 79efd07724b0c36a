//! Binned distributions of fixed size, and the statistics of a pair of them: ROC, rates, intervals.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bins per unit of log-odds. They are finer than the rounding of scores.
const BINS_PER_UNIT: f64 = 128.0;

/// The lowest log-odds; lower values are clamped.
const LOW: f64 = -32.0;

/// The highest log-odds; higher values are clamped.
const HIGH: f64 = 32.0;

/// A distribution of log-odds.
#[derive(Debug, Clone)]
pub struct Distribution(Histogram);

/// A distribution of scores from 0 to 100, in tenths.
#[derive(Debug, Clone)]
pub struct ScoreDistribution(Histogram);

/// Counts by bin.
#[derive(Debug, Clone)]
struct Histogram {
    bins: Vec<u32>,
    total: u64,
}

/// How well log-odds separate attacks from legitimate sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Separation {
    /// The number of legitimate sign-ins.
    pub legit: u64,
    /// The number of labelled sign-ins.
    pub attacks: u64,
    /// The area under the ROC curve: the probability that an attack scores higher than a legitimate sign-in.
    pub auc: f64,
    /// The share of attacks found where 1, 5 and 10 % of legitimate sign-ins are stopped.
    pub tpr: [f64; 3],
    /// The share of legitimate sign-ins stopped where 95 and 99 % of attacks are found.
    pub reauth: [f64; 2],
}

impl Histogram {
    fn new(bins: usize) -> Self {
        Histogram { bins: vec![0; bins], total: 0 }
    }

    fn add(&mut self, bin: usize) {
        self.bins[bin] += 1;
        self.total += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(own, other)| *own += other);
        self.total += other.total;
    }
}

impl Default for Distribution {
    fn default() -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "constants")]
        let bins = ((HIGH - LOW) * BINS_PER_UNIT) as usize + 1;
        Distribution(Histogram::new(bins))
    }
}

impl Distribution {
    /// Counts a value.
    pub fn add(&mut self, value: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
        let bin = ((value.clamp(LOW, HIGH) - LOW) * BINS_PER_UNIT).round() as usize;
        self.0.add(bin);
    }

    /// Returns the number of values.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Adds another distribution to this one.
    pub fn merge(&mut self, other: &Distribution) {
        self.0.merge(&other.0);
    }

    /// Iterates over the bins that are not empty, from the lowest: their middle and count.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand bins")]
        self.0.bins.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, count)| (LOW + bin as f64 / BINS_PER_UNIT, f64::from(*count)))
    }

    /// Returns the value that this share of the values reaches or exceeds.
    pub fn upper_quantile(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
        let wanted = share * self.0.total as f64;
        let mut above = 0.0;
        for (value, count) in self.iter().rev() {
            above += count;
            if above >= wanted {
                return Some(value);
            }
        }
        None
    }

    /// Returns how well these legitimate values are separated from `attacks`. `None` if either is empty.
    pub fn separation(&self, attacks: &Distribution) -> Option<Separation> {
        let curve = self.roc(attacks);
        if curve.len() < 2 || self.0.total == 0 || attacks.0.total == 0 {
            return None;
        }
        let auc = curve.windows(2).map(|pair| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1)).sum();
        let at = |x: &dyn Fn(&(f64, f64)) -> f64, y: &dyn Fn(&(f64, f64)) -> f64, wanted: f64| {
            let after = curve.iter().position(|point| x(point) >= wanted).unwrap_or(curve.len() - 1).max(1);
            let (low, high) = (&curve[after - 1], &curve[after]);
            let part = if x(high) > x(low) { (wanted - x(low)) / (x(high) - x(low)) } else { 1.0 };
            y(low) + part.clamp(0.0, 1.0) * (y(high) - y(low))
        };
        let tpr = [0.01, 0.05, 0.10].map(|fpr| at(&|point| point.0, &|point| point.1, fpr));
        let reauth = [0.95, 0.99].map(|tpr| at(&|point| point.1, &|point| point.0, tpr));
        Some(Separation { legit: self.0.total, attacks: attacks.0.total, auc, tpr, reauth })
    }

    /// Returns the ROC curve: the shares of legitimate sign-ins and of attacks at or above each value, from the highest value down.
    pub fn roc(&self, attacks: &Distribution) -> Vec<(f64, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
        let (legit, attack) = (self.0.total.max(1) as f64, attacks.0.total.max(1) as f64);
        let (mut fpr, mut tpr) = (0.0, 0.0);
        let mut curve = vec![(0.0, 0.0)];
        for (own, other) in self.0.bins.iter().zip(&attacks.0.bins).rev().filter(|(own, other)| **own > 0 || **other > 0) {
            fpr += f64::from(*own) / legit;
            tpr += f64::from(*other) / attack;
            curve.push((fpr, tpr));
        }
        curve
    }
}

impl Default for ScoreDistribution {
    fn default() -> Self {
        ScoreDistribution(Histogram::new(1001))
    }
}

impl ScoreDistribution {
    /// Counts a score.
    pub fn add(&mut self, score: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
        let bin = (score.clamp(0.0, 100.0) * 10.0).round() as usize;
        self.0.add(bin);
    }

    /// Returns the number of scores.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Adds another distribution to this one.
    pub fn merge(&mut self, other: &ScoreDistribution) {
        self.0.merge(&other.0);
    }

    /// Returns the share of scores at or above a threshold.
    pub fn share_from(&self, threshold: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
        let from = (threshold.clamp(0.0, 100.1) * 10.0).ceil() as usize;
        let above: u64 = self.0.bins[from.min(1001)..].iter().map(|count| u64::from(*count)).sum();
        ratio(above, self.0.total)
    }

    /// Returns the lowest threshold, in half points, that at most this share reaches.
    pub fn threshold_for(&self, share: f64) -> f64 {
        (0..=200).map(|half| f64::from(half) / 2.0).find(|threshold| self.share_from(*threshold) <= share).unwrap_or(100.0)
    }

    /// Returns the counts of twenty steps of five points. The last step includes 100.
    pub fn counts_per_five_points(&self) -> [u64; 20] {
        let mut steps = [0; 20];
        for (bin, count) in self.0.bins.iter().enumerate() {
            steps[(bin / 50).min(19)] += u64::from(*count);
        }
        steps
    }

    /// Resamples the distribution: each count is drawn from a Poisson distribution.
    fn resample(&self, rng: &mut ChaCha8Rng) -> ScoreDistribution {
        let bins: Vec<u32> = self.0.bins.iter().map(|count| poisson(f64::from(*count), rng)).collect();
        let total = bins.iter().map(|count| u64::from(*count)).sum();
        ScoreDistribution(Histogram { bins, total })
    }
}

/// Returns the 95 % confidence interval of the share of attacks caught at the threshold that stops this share of legitimate sign-ins.
///
/// Bootstrap: both distributions are resampled 400 times.
pub fn caught_interval(legit: &ScoreDistribution, attacks: &ScoreDistribution, stopped: f64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(0x0062_6f6f_7473);
    let mut caught: Vec<f64> = (0..400)
        .map(|_| {
            let threshold = legit.resample(&mut rng).threshold_for(stopped);
            attacks.resample(&mut rng).share_from(threshold)
        })
        .collect();
    caught.sort_by(f64::total_cmp);
    (caught[10], caught[389])
}

/// Draws a Poisson deviate: by products of uniforms for small means, by a rounded normal for large ones.
fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
    if mean <= 0.0 {
        return 0;
    }
    if mean > 50.0 {
        let normal = (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
        return (mean + mean.sqrt() * normal).round().max(0.0) as u32;
    }
    let (limit, mut product, mut count) = ((-mean).exp(), unit(), 0);
    while product > limit {
        product *= unit();
        count += 1;
    }
    count
}

/// Formats a share in per cent.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 { format!("{:.3} %", share * 100.0) } else { format!("{:.2} %", share * 100.0) }
}

/// Returns `part / whole`, or 0 if `whole` is 0.
#[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separation_matches_the_definition() {
        let (mut legit, mut attacks) = (Distribution::default(), Distribution::default());
        (0..100).for_each(|value| legit.add(f64::from(value) / 10.0));
        (0..10).for_each(|value| attacks.add(f64::from(value) + 0.95));
        let found = legit.separation(&attacks).expect("neither is empty");
        // Expected: an attack at k + .95 exceeds the 10k + 10 legitimate values below it.
        assert!((found.auc - 0.55).abs() < 1e-9, "{}", found.auc);
        // 10 of 100 legitimate values and 2 attacks are at or above 8.95.
        assert!((found.tpr[2] - 0.2).abs() < 1e-9, "{:?}", found.tpr);
        assert!((found.reauth[1] - 0.9).abs() < 0.02, "{:?}", found.reauth);
        assert!(Distribution::default().separation(&attacks).is_none());
    }

    #[test]
    fn threshold_stops_at_most_the_share() {
        let mut scores = ScoreDistribution::default();
        (0..1000).for_each(|value| scores.add(f64::from(value) / 10.0));
        assert_eq!(scores.threshold_for(0.01), 99.0);
        assert!((scores.share_from(99.0) - 0.01).abs() < 1e-9);
        let (low, high) = caught_interval(&scores, &scores, 0.1);
        assert!(low < 0.1 && 0.1 < high && high - low < 0.1, "{low} {high}");
    }
}
