//! Random numbers that are the same on every machine.
//!
//! ChaCha8 is fixed by its specification. Logarithms and other functions come from `libm`, which is written in Rust, because
//! the mathematics libraries of operating systems round differently. Each event of each person has its own position in the
//! stream, so no generator state is stored between events.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many words of the stream an event may use.
const WORDS_PER_EVENT: u128 = 1 << 10;

/// The random number generator of one event.
#[derive(Debug)]
pub(super) struct SynthRng(ChaCha8Rng);

/// The position of an event in the random numbers of a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct RngPosition {
    pub(super) seed: u64,
    pub(super) stream: u64,
    pub(super) event: u64,
}

impl RngPosition {
    /// Creates the generator of the event.
    pub(super) fn rng(self) -> SynthRng {
        SynthRng::for_event(self.seed, self.stream, self.event)
    }
}

impl SynthRng {
    /// Creates the generator of a person's event.
    pub(super) fn for_event(seed: u64, person: u64, event: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(person);
        rng.set_word_pos(u128::from(event) * WORDS_PER_EVENT);
        SynthRng(rng)
    }

    /// Draws a uniform number in 0..1 with 53 random bits.
    pub(super) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.0.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// Draws a uniform index in 0..n.
    pub(super) fn below(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "indexes are small")]
        let at = (self.unit() * n as f64) as usize;
        at.min(n.saturating_sub(1))
    }

    /// Returns `true` with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Draws a normal deviate (Box-Muller).
    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        mean + deviation * radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Draws a log-normal deviate. The parameters are those of its logarithm.
    pub(super) fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        libm::exp(self.normal(mean, deviation))
    }

    /// Draws an index by cumulative weights.
    pub(super) fn weighted(&mut self, cumulative: &[f64]) -> usize {
        let at = self.unit() * cumulative.last().copied().unwrap_or_default();
        cumulative.partition_point(|sum| *sum <= at).min(cumulative.len().saturating_sub(1))
    }

    /// Draws an index in 0..n. The last is the likeliest, and each earlier one is half as likely.
    pub(super) fn recent(&mut self, n: usize) -> usize {
        let mut at = n.saturating_sub(1);
        while at > 0 && self.chance(0.5) {
            at -= 1;
        }
        at
    }
}

/// Returns the cumulative sums of weights.
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

/// Returns the cumulative weights of n ranks under Zipf's law.
pub(super) fn zipf(n: usize, exponent: f64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    cumulate((1..=n).map(|rank| 1.0 / libm::pow(rank as f64, exponent)))
}
