//! Counts by time: by minute for a day, by hour for 30 days. They outlast the rows and are exact where rows are sampled.

use std::collections::VecDeque;

use crate::decision::Decision;

/// Minutes that are stored.
const MAX_MINUTES: usize = 1440;

/// Hours that are stored.
const MAX_HOURS: usize = 720;

/// The counts of one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sign-ins by decision, in the order of [`Decision::ALL`].
    pub decisions: [u32; 4],
    /// Sign-ins that were decided with something missing.
    pub degraded: u32,
}

/// Counts by interval, oldest first, without gaps.
#[derive(Debug)]
struct Series {
    seconds: i64,
    capacity: usize,
    /// The number of the oldest interval since 1970.
    first: i64,
    counts: VecDeque<Counts>,
    /// Whether no interval was dropped.
    is_complete: bool,
}

/// Counts by minute and by hour.
#[derive(Debug)]
pub struct Rollups {
    minutes: Series,
    hours: Series,
}

impl Default for Rollups {
    fn default() -> Self {
        let series = |seconds, capacity| Series { seconds, capacity, first: 0, counts: VecDeque::new(), is_complete: true };
        Rollups { minutes: series(60, MAX_MINUTES), hours: series(3600, MAX_HOURS) }
    }
}

impl Rollups {
    /// Adds counts at a time in seconds since 1970.
    pub fn add(&mut self, at: i64, counts: Counts) {
        self.minutes.add(at, counts);
        self.hours.add(at, counts);
    }

    /// Replaces the counts of an hour, by its first second.
    pub fn set_hour(&mut self, hour: i64, counts: Counts) {
        if let Some(stored) = self.hours.slot(hour) {
            *stored = counts;
        }
    }

    /// The counts of buckets of `width` seconds from `from`, which is a multiple of the width. `None` when no series is that fine or goes back
    /// that far.
    pub fn buckets(&self, from: i64, to: i64, width: i64) -> Option<Vec<(i64, Counts)>> {
        // Hours first: a store replaces their counts by exact ones.
        let series = [&self.hours, &self.minutes].into_iter().find(|series| width % series.seconds == 0 && series.covers(from))?;
        let mut buckets: Vec<(i64, Counts)> = Vec::new();
        let mut at = from;
        while at < to {
            let counts = (0..width / series.seconds).fold(Counts::default(), |sum, index| sum.plus(series.at(at + index * series.seconds)));
            buckets.push((at, counts));
            at += width;
        }
        Some(buckets)
    }
}

impl Counts {
    /// One decision.
    pub fn one(decision: Decision, is_degraded: bool) -> Self {
        let mut counts = Counts { degraded: u32::from(is_degraded), ..Counts::default() };
        counts.decisions[decision as usize] = 1;
        counts
    }

    /// The sum of both.
    pub fn plus(self, other: Counts) -> Counts {
        let mut sum = self;
        sum.decisions.iter_mut().zip(other.decisions).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        sum.degraded = sum.degraded.saturating_add(other.degraded);
        sum
    }

    /// Every sign-in.
    pub fn total(self) -> u32 {
        self.decisions.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl Series {
    fn add(&mut self, at: i64, counts: Counts) {
        if let Some(stored) = self.slot(at) {
            *stored = stored.plus(counts);
        }
    }

    /// The counts of the interval of a time, which is added if it is missing; `None` if it is too old.
    fn slot(&mut self, at: i64) -> Option<&mut Counts> {
        let number = at.div_euclid(self.seconds);
        let capacity = i64::try_from(self.capacity).unwrap_or(i64::MAX);
        let last = self.first + i64::try_from(self.counts.len()).unwrap_or_default() - 1;
        if self.counts.is_empty() || number - last >= capacity {
            self.is_complete &= self.counts.is_empty();
            self.counts.clear();
            self.first = number;
        }
        if number < self.first {
            // An older line extends the series to the past as far as there is room.
            let missing = self.first - number;
            if missing + i64::try_from(self.counts.len()).unwrap_or_default() > capacity {
                self.is_complete = false;
                return None;
            }
            (0..missing).for_each(|_| self.counts.push_front(Counts::default()));
            self.first = number;
        }
        while self.first + i64::try_from(self.counts.len()).unwrap_or_default() <= number {
            if self.counts.len() >= self.capacity {
                self.counts.pop_front();
                self.first += 1;
                self.is_complete = false;
            }
            self.counts.push_back(Counts::default());
        }
        usize::try_from(number - self.first).ok().and_then(|index| self.counts.get_mut(index))
    }

    fn covers(&self, from: i64) -> bool {
        self.is_complete || from.div_euclid(self.seconds) >= self.first
    }

    fn at(&self, second: i64) -> Counts {
        let index = usize::try_from(second.div_euclid(self.seconds) - self.first).ok();
        index.and_then(|index| self.counts.get(index)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn counts_outlast_a_day_by_the_hour() {
        let mut rollups = Rollups::default();
        for hour in 0..48 {
            rollups.add(NOW - hour * 3600, Counts::one(Decision::Deny, false));
        }
        let from = (NOW - 47 * 3600) / 3600 * 3600;
        let buckets = rollups.buckets(from, NOW + 1, 3600).expect("covered");
        assert_eq!(buckets.iter().map(|(_, counts)| counts.decisions[3]).sum::<u32>(), 48);
        assert_eq!(rollups.buckets(from, NOW + 1, 30), None);
    }

    #[test]
    fn any_time_keeps_the_series_bounded() {
        let mut rollups = Rollups::default();
        for at in [NOW, 0, i64::from(u32::MAX), -1, NOW - 600, NOW * 2, NOW] {
            rollups.add(at, Counts::one(Decision::Allow, true));
            assert!(rollups.minutes.counts.len() <= MAX_MINUTES && rollups.hours.counts.len() <= MAX_HOURS);
        }
    }
}
