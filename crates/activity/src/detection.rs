//! The detection of attacks: found once over all rows, with a start and an end that no range and no filter moves.
//!
//! Rows are taken up by the minute (see [`detector`](crate::detector)), as soon as a row of the minute after the next arrives, or the clock says so.
//! The minutes before that are evaluated without being taken up, so a burst is found within seconds.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use crate::{
    activity::Activity,
    attack::{Attack, Detection, Sources},
    detector::{Event, Minute},
    filter::{Filter, Matcher},
    row::{Reporting, Row},
};

/// Suspicious sign-ins of one account that count in a minute: a person may try again.
const MAX_PER_USER: u32 = 3;

/// Minutes after its end in which a minute still waits for outcomes.
const GRACE_MINUTES: i64 = 1;

/// Attacks that are stored. The oldest are dropped.
const MAX_ATTACKS: usize = 200;

/// Rows that came after their minute was taken up, from which on all rows are taken up again in the order of their times.
const MAX_LATE: usize = 64;

/// The first attempt is searched in so many seconds, in which this rate of suspicious sign-ins is usual: two a minute.
const ONSET_SECONDS: i64 = 120;
const USUAL_PER_SECOND: f64 = 2.0 / 60.0;

/// A later attempt is the first one if this makes the times twenty times as likely.
const MIN_EVIDENCE: f64 = 3.0;

/// An id that is at most this many seconds from a start means that attack: the first seconds of an attack are found before its first minute ends.
const ID_TOLERANCE: i64 = 120;

/// The rows that a query selects.
pub(crate) struct Selection<'a> {
    matcher: Matcher<'a>,
    attack: Option<AttackRows<'a>>,
    is_empty: bool,
}

/// The rows of an attack: its attempts, and the sign-ins that it got in with.
pub(crate) struct AttackRows<'a> {
    attack: &'a Attack,
    let_in: HashSet<&'a SmolStr>,
    reporting: Reporting,
}

impl Selection<'_> {
    /// Whether the row is selected.
    pub(crate) fn matches(&self, row: &Row) -> bool {
        match &self.attack {
            _ if self.is_empty => false,
            Some(rows) => self.matcher.matches_values(row) && rows.contain(row),
            None => self.matcher.matches(row),
        }
    }
}

impl AttackRows<'_> {
    fn contain(&self, row: &Row) -> bool {
        self.attack.has_attempt(row, self.reporting) || self.let_in.contains(&row.id)
    }
}

/// The second from which on the times of attempts are likeliest to be those of an attack: few came before it.
#[expect(clippy::cast_precision_loss, reason = "counts and seconds of two minutes")]
fn onset(times: &[i64]) -> Option<i64> {
    let end = times.last()? + 1;
    let evidence = |(index, at): (usize, &i64)| {
        let (count, expected) = ((times.len() - index) as f64, USUAL_PER_SECOND * (end - at) as f64 + 0.5);
        (count * (count / expected).ln() - (count - expected), *at)
    };
    let all = times.iter().enumerate().map(evidence);
    let first = all.clone().next()?;
    let best = all.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(if best.0 > first.0 + MIN_EVIDENCE { best.1 } else { first.1 })
}

impl Activity {
    /// Takes up the minutes that are over at `now`, in seconds since 1970, and evaluates those that are not. A query shows the attacks that were
    /// found by the newest call.
    pub fn detect_attacks(&mut self, now: i64) {
        // A stated time may lie ahead of the clock. Then the minutes of the present were passed over.
        let is_ahead = self.detection.detector.next().is_some_and(|next| next > now.div_euclid(60) + 1);
        if self.detection.late >= MAX_LATE || is_ahead {
            self.take_up_again(now);
        }
        self.take_up_before(now.div_euclid(60) - GRACE_MINUTES);
        self.detection.present = None;
        if self.detection.detector.ongoing().is_some() {
            if let Some(index) = self.detection.attacks.len().checked_sub(1) {
                self.find_sources(index);
            }
            return;
        }
        let mut detector = self.detection.detector.clone();
        let pending: Vec<i64> = self.detection.pending.keys().copied().filter(|minute| *minute <= now.div_euclid(60)).collect();
        let mut started = None;
        for minute in pending {
            for event in detector.take_up(minute, &self.minute(minute)) {
                started = if let Event::Started(start) = event { Some(start) } else { None };
            }
        }
        self.detection.present = started.map(|start| self.begin(start));
    }

    /// Remembers a new row for its minute.
    pub(crate) fn await_minute(&mut self, number: u64, at: i64) {
        let minute = at.div_euclid(60);
        if self.detection.detector.next().is_some_and(|next| minute < next) {
            self.detection.late += 1;
            return;
        }
        self.detection.pending.entry(minute).or_default().push(number);
        if self.rows.len() >= self.capacity && number.is_multiple_of(self.capacity as u64) {
            self.detection.forget_before(self.dropped);
        }
        // A log is read faster than it is asked for: its minutes end by the times of its lines.
        self.take_up_before(minute - GRACE_MINUTES);
    }

    /// Takes up the minutes before one.
    fn take_up_before(&mut self, end: i64) {
        while let Some(minute) = self.detection.pending.keys().next().copied().filter(|minute| *minute < end) {
            let counts = self.minute(minute);
            self.detection.pending.remove(&minute);
            let events = self.detection.detector.take_up(minute, &counts);
            self.record_events(&events);
        }
        // Minutes without a sign-in end an attack too.
        if self.detection.detector.next().is_some_and(|next| next < end) && self.detection.detector.ongoing().is_some() {
            let events = self.detection.detector.take_up(end - 1, &Minute::default());
            self.record_events(&events);
        }
    }

    fn record_events(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Started(start) => {
                    let attack = self.begin(*start);
                    if self.detection.attacks.len() >= MAX_ATTACKS {
                        self.detection.attacks.remove(0);
                    }
                    self.detection.attacks.push(attack);
                }
                Event::Ended(last) => {
                    let Some(index) = self.detection.attacks.len().checked_sub(1) else { continue };
                    let end = (last + 1) * 60;
                    self.detection.attacks[index].to = Some(end);
                    self.find_sources(index);
                    let attack = &self.detection.attacks[index];
                    let reporting = self.reporting;
                    let newest = self.rows_of(attack).filter(|row| attack.has_attempt(row, reporting)).map(|row| row.at.div_euclid(1000)).max();
                    let to = newest.map_or(end, |newest| newest + 1);
                    let last = (self.dropped..).zip(&self.rows).filter(|(_, row)| row.at < to * 1000).map(|(number, _)| number).max();
                    let attack = &mut self.detection.attacks[index];
                    (attack.to, attack.rows.1) = (Some(to), last);
                    let described = self.describe(&self.detection.attacks[index], true);
                    self.detection.attacks[index].described = Some(described);
                }
            }
        }
    }

    /// An attack that began in a minute: from its first suspicious row on.
    fn begin(&self, minute: i64) -> Attack {
        let suspicious = self.rows.iter().filter(|row| row.at >= minute * 60_000 && row.is_suspicious(self.reporting));
        let from = suspicious.map(|row| row.at.div_euclid(1000)).min().unwrap_or(minute * 60);
        let first = (self.dropped..).zip(&self.rows).find(|(_, row)| row.at >= from * 1000).map_or(self.dropped, |(number, _)| number);
        let mut attack = Attack { from, to: None, sources: Sources::default(), rows: (first, None), described: None };
        attack.sources = Sources::find(self, &attack, &self.detection.detector.usual);
        // A person may have mistyped a password in the first minute.
        let attempts = self.rows_of(&attack).filter(|row| attack.has_attempt(row, self.reporting)).map(|row| row.at.div_euclid(1000));
        let mut first: Vec<i64> = attempts.filter(|at| *at < from + ONSET_SECONDS).collect();
        first.sort_unstable();
        attack.from = onset(&first).unwrap_or(from);
        attack
    }

    fn find_sources(&mut self, index: usize) {
        let attack = &self.detection.attacks[index];
        let sources = Sources::find(self, attack, &self.detection.detector.usual);
        self.detection.attacks[index].sources = sources;
    }

    /// The counts of a minute whose rows are stored.
    fn minute(&self, minute: i64) -> Minute {
        let mut counts = Minute::default();
        let mut users: HashMap<&SmolStr, u32> = HashMap::new();
        let numbers = self.detection.pending.get(&minute).into_iter().flatten();
        for row in numbers.filter_map(|number| self.rows.get(usize::try_from(number.checked_sub(self.dropped)?).ok()?)) {
            if row.is_session {
                continue;
            }
            if row.is_suspicious(self.reporting) {
                let tries = row.user.as_ref().map(|user| users.entry(user).or_default());
                if tries.is_none_or(|tries| {
                    *tries += 1;
                    *tries <= MAX_PER_USER
                }) {
                    counts.suspicious += 1.0;
                    row.asn.iter().for_each(|asn| *counts.asns.entry(*asn).or_default() += 1.0);
                }
            } else {
                counts.others += 1.0;
                counts.new_devices += f64::from(u8::from(row.got_in_anew()));
            }
        }
        counts
    }

    /// Takes up all stored rows up to `now` again, in the order of their times: logs of several processes were read one after the other.
    fn take_up_again(&mut self, now: i64) {
        let mut detection = Detection::default();
        let oldest = self.oldest_row().map_or(i64::MAX, |at| at.div_euclid(1000));
        detection.attacks = std::mem::take(&mut self.detection.attacks);
        detection.attacks.retain(|attack| attack.to.is_some_and(|to| to < oldest));
        for (number, row) in (self.dropped..).zip(&self.rows) {
            detection.pending.entry(row.at.div_euclid(60_000)).or_default().push(number);
        }
        self.detection = detection;
        if let Some(newest) = self.newest() {
            self.take_up_before(newest.min(now).div_euclid(60) - GRACE_MINUTES);
        }
    }

    /// Every attack that is known, oldest first.
    pub fn attacks(&self) -> impl DoubleEndedIterator<Item = &Attack> {
        self.detection.attacks.iter().chain(&self.detection.present)
    }

    /// The attack that goes on.
    pub fn ongoing_attack(&self) -> Option<&Attack> {
        self.attacks().next_back().filter(|attack| attack.to.is_none())
    }

    /// The attack of an id.
    pub(crate) fn attack(&self, id: i64) -> Option<&Attack> {
        self.attacks().min_by_key(|attack| attack.id().abs_diff(id)).filter(|attack| attack.id().abs_diff(id) <= ID_TOLERANCE.unsigned_abs())
    }

    /// The rows that a filter selects at `now`.
    pub(crate) fn selection<'a>(&'a self, filter: &'a Filter, now: i64) -> Selection<'a> {
        let attack = filter.attack.and_then(|id| self.attack(id));
        let rows = attack.map(|attack| {
            let let_in = self.let_in_by(attack).into_iter().map(|found| &found.row.id).collect();
            AttackRows { attack, let_in, reporting: self.reporting }
        });
        Selection { matcher: filter.matcher(&self.codes, now), is_empty: filter.attack.is_some() && rows.is_none(), attack: rows }
    }

    /// The start and the end of a filter's time, in seconds since 1970; the end is exclusive. That of a chosen attack is the attack's.
    pub(crate) fn bounds_of(&self, filter: &Filter, now: i64) -> (i64, i64) {
        let attack = filter.attack.and_then(|id| self.attack(id));
        attack.map_or_else(|| filter.bounds(now), |attack| (attack.from, attack.to.unwrap_or(now + 1)))
    }

    /// The stored rows among which those of an attack are.
    pub(crate) fn rows_of(&self, attack: &Attack) -> impl Iterator<Item = &Row> {
        let index = |number: u64| usize::try_from(number.saturating_sub(self.dropped)).unwrap_or(usize::MAX).min(self.rows.len());
        let first = index(attack.rows.0);
        let end = attack.rows.1.map_or(self.rows.len(), |last| index(last.saturating_add(1)));
        self.rows.range(first..end.max(first)).filter(|row| attack.covers(row))
    }

    /// Whether the first rows of an attack have been dropped.
    pub(crate) fn has_dropped_rows_of(&self, attack: &Attack) -> bool {
        attack.rows.0 < self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    /// Records one sign-in with its outcome.
    pub(crate) fn add(activity: &mut Activity, at: i64, (user, net, asn): (&str, &str, u32), decision: &str, outcome: &str) {
        let time = jiff::Timestamp::from_second(at).expect("a time");
        let id = format!("{at}-{user}");
        activity.record(&format!(r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":42,"user":"{user}","net":"{net}","asn":{asn}}}"#));
        activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
    }

    /// A day of people, with a spray of a few attempts a minute in its last five hours, and a burst of half an hour in its morning.
    fn day() -> Activity {
        let mut activity = Activity::new(Counting::Rows);
        for minute in 0..1440 {
            let at = NOW - 86_400 + minute * 60;
            (0..5).for_each(|number| {
                let outcome = if (minute * 5 + number) % 20 == 0 { "failure" } else { "success" };
                let (user, net) = (format!("person-{number}-{}", minute % 80), format!("home-{}", minute % 300));
                add(&mut activity, at + number, (&user, &net, 7018), "allow", outcome);
            });
            if (480..510).contains(&minute) {
                (0..8).for_each(|number| add(&mut activity, at + 20 + number, (&format!("leaked-{minute}-{number}"), "rented", 64_500), "deny", "failure"));
            }
            if minute >= 1140 {
                (0..2).for_each(|number| {
                    let is_right = minute == 1300 && number == 0;
                    let user = if is_right { "taken".to_owned() } else { format!("target-{minute}-{number}") };
                    let net = format!("phone-{}", minute % 20);
                    add(&mut activity, at + 30 + number, (&user, &net, 21_928), "allow", if is_right { "success" } else { "failure" });
                });
            }
        }
        activity
    }

    #[test]
    fn attacks_are_found_once_with_fixed_times_and_the_one_that_goes_on_has_no_end() {
        let mut activity = day();
        let times = |activity: &Activity| activity.attacks().map(|attack| (attack.from, attack.to)).collect::<Vec<_>>();
        activity.detect_attacks(NOW);
        let found = times(&activity);
        let (burst, spray) = (NOW - 86_400 + 480 * 60 + 20, NOW - 5 * 3600 + 30);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, burst);
        assert!((found[0].1.expect("ended") - (burst + 1800)).abs() <= 120, "{found:?}");
        assert!((found[1].0 - spray).abs() <= 300 && found[1].1.is_none(), "{found:?}");
        // More of the same, and a restart with the same rows, move nothing.
        (0..30).for_each(|minute| add(&mut activity, NOW + minute * 60, (&format!("late-{minute}"), "phone-1", 21_928), "allow", "failure"));
        activity.detect_attacks(NOW + 1800);
        assert_eq!(times(&activity), found);
        let mut again = day();
        again.detect_attacks(NOW);
        assert_eq!(times(&again), found);
        again.take_up_again(NOW);
        assert_eq!(times(&again), found);
        again.detect_attacks(NOW + 5 * 3600);
        assert!(times(&again)[1].1.is_some_and(|to| (to - NOW).abs() <= 120), "{:?}", times(&again));
    }

    #[test]
    fn a_mistyped_password_some_seconds_before_a_burst_does_not_begin_it() {
        let burst: Vec<i64> = std::iter::once(100).chain((0..60).map(|number| 112 + number / 20)).collect();
        assert_eq!(onset(&burst), Some(112));
        assert_eq!(onset(&[100, 130, 160]), Some(100));
        assert_eq!(onset(&[]), None);
    }

    #[test]
    fn a_burst_is_found_within_seconds() {
        let mut activity = Activity::new(Counting::Rows);
        (0..600).for_each(|second| add(&mut activity, NOW - 600 + second, (&format!("person-{}", second % 40), "home", 3320), "allow", "success"));
        activity.detect_attacks(NOW);
        assert_eq!(activity.attacks().count(), 0);
        (0..20).for_each(|number| add(&mut activity, NOW + number / 4, (&format!("leaked-{number}"), "rented", 64_500), "deny", "failure"));
        activity.detect_attacks(NOW + 5);
        assert_eq!(activity.ongoing_attack().map(|attack| attack.from), Some(NOW));
    }

    #[test]
    fn a_stated_time_ahead_of_the_clock_hides_no_attack() {
        let mut activity = Activity::new(Counting::Rows);
        let stated_ahead = |activity: &mut Activity, second: i64| add(activity, second, ("anyone", "home", 3320), "allow", "success");
        (0..600).for_each(|second| add(&mut activity, NOW - 600 + second, (&format!("person-{}", second % 40), "home", 3320), "allow", "success"));
        activity.detect_attacks(NOW);
        stated_ahead(&mut activity, NOW + 86_400);
        stated_ahead(&mut activity, NOW + 2 * 86_400);
        (0..60).for_each(|number| add(&mut activity, NOW + number, (&format!("leaked-{number}"), "rented", 64_500), "deny", "failure"));
        stated_ahead(&mut activity, NOW + 3 * 86_400);
        activity.detect_attacks(NOW + 90);
        assert_eq!(activity.ongoing_attack().map(|attack| attack.from), Some(NOW));
    }

    #[test]
    fn people_on_devices_that_they_have_used_before_are_no_attack() {
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |second: i64, net: &str, decision: &str, outcome: Option<&str>| {
            let time = jiff::Timestamp::from_second(NOW + second).expect("a time");
            let user = second % 60;
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{second}","decision":"{decision}","score":45,"user":"staff-{user}","device":"d{user}","net":"{net}"}}"#
            ));
            if let Some(outcome) = outcome {
                activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{second}","outcome":"{outcome}"}}"#));
            }
        };
        (0..1200).for_each(|second| add(second * 3, "office", "allow", Some("success")));
        (1200..1800).for_each(|second| add(second * 3, "proxy", "deny", None));
        activity.detect_attacks(NOW + 1800 * 3);
        assert_eq!(activity.attacks().count(), 0);
    }
}
