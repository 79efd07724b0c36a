//! The state of a pool: what is usual, the charts, and the attack in progress.

use std::collections::BTreeMap;

use crate::{
    chart::{Chart, Expectation, WINDOWS},
    counts::Counts,
    episode::{CellExcess, Episode},
    usual::{Sums, Usual, WEEK_HOURS},
};

/// The level of a chart from which a pool is `elevated`, as a part of its limit.
const ELEVATED: f64 = 0.6;

/// An attack is over when no chart has reached this part of its limit for [`QUIET_MINUTES`].
const STILL_HIGH: f64 = 0.5;
const QUIET_MINUTES: i64 = 90;

/// Minutes after which an attack is learned as usual: a week.
const LONGEST_ATTACK: i64 = 7 * 1_440;

/// A gap of so many minutes is not walked through: 30 days.
const LONGEST_GAP: i64 = 30 * 1_440;

/// After so many minutes without attempts, the rest of such a time is taken up by the hour.
const SILENCE: i64 = 120;

/// Unfamiliar attempts above this multiple of the expected ones are not learned, so an attack that is not detected does not become usual.
const LEARNED_RATIO: f64 = 3.0;
const LEARNED_MARGIN: f64 = 5.0;

/// Whether a pool is under attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Status {
    /// Nothing unusual, or too little is known about the pool.
    #[default]
    Calm,
    /// More unfamiliar attempts than usual. It has no effect on sign-ins.
    Elevated,
    /// An attack.
    UnderAttack,
}

/// An attack.
#[derive(Debug, Clone, PartialEq)]
pub struct Attack {
    /// What was counted since its onset.
    pub episode: Episode,
    /// The minute in which it was detected.
    pub detected: i64,
    /// The last minute in which a chart was high.
    pub last_high: i64,
}

/// The state of a pool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoolState {
    /// The first minute that was not taken up, in minutes since 1970. `None` before the first attempt.
    pub next: Option<i64>,
    /// What is usual.
    pub usual: Usual,
    pub(crate) charts: Charts,
    pub(crate) episodes: [Episode; WINDOWS.len()],
    /// The attack in progress.
    pub attack: Option<Attack>,
}

/// The chart of each length of window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Charts(pub(crate) [Chart; WINDOWS.len()]);

impl Default for Charts {
    fn default() -> Self {
        Charts(std::array::from_fn(Chart::new))
    }
}

impl Status {
    /// The label in metrics and responses.
    pub fn as_label(self) -> &'static str {
        match self {
            Status::Calm => "calm",
            Status::Elevated => "elevated",
            Status::UnderAttack => "under_attack",
        }
    }
}

impl PoolState {
    /// Takes up the minutes before `end`. Minutes without counts were empty. Returns the attacks that ended.
    pub fn advance(&mut self, minutes: &BTreeMap<i64, Counts>, end: i64) -> Vec<Attack> {
        let empty = Counts::default();
        let Some(first) = self.next.or_else(|| minutes.keys().next().copied()) else { return Vec::new() };
        let start = if end - first > LONGEST_GAP { end - 1 } else { first };
        let mut ended = Vec::new();
        let (mut minute, mut last) = (start, start);
        while minute < end {
            let counts = minutes.get(&minute);
            last = if counts.is_some() { minute } else { last };
            if counts.is_none() && minute - last >= SILENCE && self.attack.is_none() {
                let until = minutes.range(minute..).next().map_or(end, |(next, _)| (*next).min(end));
                self.take_up_silence(minute, until);
                minute = until;
                continue;
            }
            ended.extend(self.take_up(minute, counts.unwrap_or(&empty)));
            minute += 1;
        }
        self.next = Some(end.max(first));
        ended
    }

    /// The state with minutes that are not over. They are taken up again when they are.
    #[must_use]
    pub fn with_present(&self, minutes: &BTreeMap<i64, Counts>, end: i64) -> Self {
        let mut state = self.clone();
        state.advance(minutes, end);
        state
    }

    /// Takes up minutes without attempts, by the hour.
    fn take_up_silence(&mut self, from: i64, until: i64) {
        self.charts.0.iter_mut().for_each(Chart::reset);
        self.episodes = Default::default();
        let mut minute = from;
        while minute < until {
            let end = (minute.div_euclid(60) + 1) * 60;
            #[expect(clippy::cast_precision_loss, reason = "minutes of an hour")]
            self.usual.learn_empty(hour_of_week(minute), (end.min(until) - minute) as f64);
            if end <= until {
                self.usual.end_hour(hour_of_week(minute));
            }
            minute = end;
        }
    }

    /// Takes up one minute. Returns the attack that ends with it.
    pub fn take_up(&mut self, minute: i64, counts: &Counts) -> Option<Attack> {
        let hour = hour_of_week(minute);
        let expectation = self.expectation(hour);
        let sums = Sums::of(counts);
        let is_learning = self.attack.is_none();
        let expected = expectation.usual.unfamiliar.max(expectation.unfamiliar_ratio * sums.familiar);
        for (chart, episode) in self.charts.0.iter_mut().zip(&mut self.episodes) {
            chart.add_minute(minute, &sums, &expectation, is_learning);
            match chart.since() {
                None => *episode = Episode::default(),
                Some(since) if since == minute => {
                    *episode = Episode::new(minute);
                    episode.add(counts, expected);
                }
                Some(_) => episode.add(counts, expected),
            }
        }
        if let Some(attack) = &mut self.attack {
            attack.episode.add(counts, expected);
        }
        let ended = self.detect(minute, &expectation);
        if self.attack.as_ref().is_none_or(|attack| minute - attack.detected > LONGEST_ATTACK) {
            let most = LEARNED_RATIO * expected + LEARNED_MARGIN;
            let part = if self.usual.is_learned() && sums.unfamiliar > most { most / sums.unfamiliar } else { 1.0 };
            self.usual.learn(hour, counts, part);
        }
        if (minute + 1).rem_euclid(60) == 0 {
            self.usual.end_hour(hour);
        }
        ended
    }

    fn detect(&mut self, minute: i64, expectation: &Expectation) -> Option<Attack> {
        if !self.usual.is_learned() {
            return None;
        }
        let levels = self.charts.0.map(|chart| chart.level(expectation));
        let highest = levels.iter().copied().fold(0.0, f64::max);
        match &mut self.attack {
            None => {
                // The fastest chart that reports has the latest, and best, onset.
                if let Some(at) = levels.iter().position(|level| *level >= 1.0) {
                    self.attack = Some(Attack { episode: self.episodes[at].clone(), detected: minute, last_high: minute });
                }
                None
            }
            Some(attack) if highest >= STILL_HIGH => {
                attack.last_high = minute;
                None
            }
            Some(attack) if minute - attack.last_high < QUIET_MINUTES => None,
            Some(_) => self.attack.take(),
        }
    }

    fn expectation(&self, hour: usize) -> Expectation {
        Expectation { usual: self.usual.rates(hour), unfamiliar_ratio: self.usual.unfamiliar_ratio(), unknown_share: self.usual.unknown_share() }
    }

    /// Whether the pool is under attack.
    pub fn status(&self) -> Status {
        if self.attack.is_some() {
            return Status::UnderAttack;
        }
        let expectation = self.expectation(self.next.map_or(0, |next| hour_of_week(next - 1)));
        let is_elevated = self.usual.is_learned() && self.charts.0.iter().any(|chart| chart.level(&expectation) >= ELEVATED);
        if is_elevated { Status::Elevated } else { Status::Calm }
    }

    /// The over-represented cells of the attack in progress, by their excess.
    pub fn attack_cells(&self) -> Vec<CellExcess> {
        self.attack.as_ref().map(|attack| attack.episode.over_represented(&self.usual)).unwrap_or_default()
    }
}

/// The hour of the week of a minute since 1970, from Thursday 0 h UTC.
fn hour_of_week(minute: i64) -> usize {
    usize::try_from(minute.div_euclid(60).rem_euclid(i64::try_from(WEEK_HOURS).unwrap_or(168))).unwrap_or_default()
}
