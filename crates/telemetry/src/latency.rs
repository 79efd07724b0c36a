//! A latency histogram that is small enough to store one per second.
//!
//! There are 12 buckets per doubling, and a percentile is accurate within 6 %.

/// Buckets per doubling.
const BUCKETS_PER_DOUBLING: f64 = 12.0;

/// The number of buckets, from 1 us to about 18 s.
const BUCKETS: usize = 288;

/// A sparse histogram: the buckets with a count above zero, in order.
#[derive(Debug, Clone, Default)]
pub struct Latency(Vec<(u16, u32)>);

/// The sum of several histograms.
#[derive(Debug)]
pub struct MergedLatency {
    buckets: [u32; BUCKETS],
    count: u32,
}

impl Latency {
    /// Records a time in milliseconds.
    pub fn record(&mut self, millis: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the buckets")]
        let bucket = ((millis * 1e3).max(1.0).log2() * BUCKETS_PER_DOUBLING).clamp(0.0, (BUCKETS - 1) as f64) as u16;
        self.add_to(bucket, 1);
    }

    /// Whether no time is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: Latency) {
        for (bucket, count) in other.0 {
            self.add_to(bucket, count);
        }
    }

    fn add_to(&mut self, bucket: u16, count: u32) {
        match self.0.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }
}

impl MergedLatency {
    /// Adds up histograms.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Latency>) -> Self {
        let mut sum = MergedLatency { buckets: [0; BUCKETS], count: 0 };
        for (bucket, count) in parts.into_iter().flat_map(|part| &part.0) {
            sum.buckets[usize::from(*bucket)] += count;
            sum.count += count;
        }
        sum
    }

    /// The number of recorded times.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A percentile in milliseconds, for `share` from 0 to 1. `None` when no time is recorded.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let rank = (f64::from(self.count) * share).ceil().max(1.0);
        let mut seen = 0.0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += f64::from(*count);
            if seen >= rank {
                let micros = ((bucket as f64 + 0.5) / BUCKETS_PER_DOUBLING).exp2();
                return Some((micros.max(1.0) * 10.0).round() / 1e4);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_accurate_within_six_percent() {
        let mut one = Latency::default();
        let mut other = Latency::default();
        for n in 1..=1000_u32 {
            if n % 2 == 0 { &mut one } else { &mut other }.record(f64::from(n));
        }
        let sum = MergedLatency::of([&one, &other]);
        assert_eq!(sum.count(), 1000);
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = sum.percentile(share).expect("times are recorded");
            assert!((found / expected - 1.0).abs() < 0.06, "{share}: {found}");
        }
        assert_eq!(MergedLatency::of([]).percentile(0.5), None);
    }

    #[test]
    fn invalid_and_extreme_times_are_clamped_to_the_buckets() {
        let mut latency = Latency::default();
        for millis in [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e12] {
            latency.record(millis);
        }
        assert_eq!(MergedLatency::of([&latency]).count(), 5);
    }
}
