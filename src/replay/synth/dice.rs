//! Chance that falls the same on every machine.
//!
//! ChaCha8 is fixed by its specification, and logarithms and the like come from `libm`, written in
//! Rust, because each system's own mathematics library rounds a little differently. Every event of
//! every person has a place of its own in the stream, so that nothing has to be kept between two.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Words of the stream that one event may use.
const WORDS_PER_EVENT: u128 = 1 << 10;

/// The dice of one event.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of a person's `event`th event under a seed.
    pub(super) fn of(seed: u64, person: u64, event: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(person);
        rng.set_word_pos(u128::from(event) * WORDS_PER_EVENT);
        Dice(rng)
    }

    /// Uniform in 0..1, 53 bits of it.
    pub(super) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.0.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// Uniform in 0..n.
    pub(super) fn below(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a list is small")]
        let at = (self.unit() * n as f64) as usize;
        at.min(n.saturating_sub(1))
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A normal deviate (Box and Muller).
    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        mean + deviation * radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// The exponential of a normal deviate.
    pub(super) fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        libm::exp(self.normal(mean, deviation))
    }

    /// A place by cumulative weights, the last of which is their sum.
    pub(super) fn weighted(&mut self, cumulative: &[f64]) -> usize {
        let at = self.unit() * cumulative.last().copied().unwrap_or_default();
        cumulative.partition_point(|sum| *sum <= at).min(cumulative.len().saturating_sub(1))
    }

    /// A place in a list where the last is likeliest, each earlier half as likely.
    pub(super) fn recent(&mut self, n: usize) -> usize {
        let mut at = n.saturating_sub(1);
        while at > 0 && self.happens(0.5) {
            at -= 1;
        }
        at
    }
}

/// Cumulative sums.
pub(super) fn cumulate(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    weights
        .into_iter()
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

/// Zipf's cumulative weights of n ranks.
pub(super) fn zipf(n: usize, exponent: f64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    cumulate((1..=n).map(|rank| 1.0 / libm::pow(rank as f64, exponent)))
}
