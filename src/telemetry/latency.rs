//! A histogram of times, small enough to keep one a second: buckets a twelfth of a doubling wide, so that a percentile is right within 6 %.

/// Buckets a doubling.
const STEPS: f64 = 12.0;

/// One past the last bucket: 1 us to about 18 s.
const BUCKETS: usize = 288;

/// Times seen, by bucket; only buckets that hold something.
#[derive(Debug, Clone, Default)]
pub struct Latency(Vec<(u16, u32)>);

/// Several of them added up.
#[derive(Debug)]
pub struct Sum {
    buckets: [u32; BUCKETS],
    count: u32,
}

// === impl Latency ===

impl Latency {
    /// Adds a time in milliseconds.
    pub fn record(&mut self, millis: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the buckets")]
        let bucket = ((millis * 1e3).max(1.0).log2() * STEPS).clamp(0.0, (BUCKETS - 1) as f64) as u16;
        self.add_to(bucket, 1);
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another one saw.
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

// === impl Sum ===

impl Sum {
    /// The sum of some histograms.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Latency>) -> Self {
        let mut sum = Sum { buckets: [0; BUCKETS], count: 0 };
        for (bucket, count) in parts.into_iter().flat_map(|part| &part.0) {
            sum.buckets[usize::from(*bucket)] += count;
            sum.count += count;
        }
        sum
    }

    /// How many times were seen.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A percentile in milliseconds, `share` from 0 to 1; `None` when nothing was seen.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let rank = (f64::from(self.count) * share).ceil().max(1.0);
        let mut seen = 0.0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += f64::from(*count);
            if seen >= rank {
                let micros = ((bucket as f64 + 0.5) / STEPS).exp2();
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
    fn percentiles_are_right_within_six_percent() {
        let mut one = Latency::default();
        let mut other = Latency::default();
        for n in 1..=1000_u32 {
            if n % 2 == 0 { &mut one } else { &mut other }.record(f64::from(n));
        }
        let sum = Sum::of([&one, &other]);
        assert_eq!(sum.count(), 1000);
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = sum.percentile(share).expect("something was seen");
            assert!((found / expected - 1.0).abs() < 0.06, "{share}: {found}");
        }
        assert_eq!(Sum::of([]).percentile(0.5), None);
    }

    #[test]
    fn odd_times_are_kept_within_the_buckets() {
        let mut latency = Latency::default();
        for millis in [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e12] {
            latency.record(millis);
        }
        assert_eq!(Sum::of([&latency]).count(), 5);
    }
}
