//! The sequential test that finds attacks: it takes up one minute after the other, each once, so an attack has the same start and end whatever is
//! asked later, and after a restart with the same rows.
//!
//! What it counts are suspicious sign-ins, which are stopped or failed and do not come from a device of the account's owner. It is a CUSUM of
//! Poisson counts (Lucas 1985) over windows of 1, 10 and 60 minutes: "suspicious sign-ins come at a multiple of the expected rate" against "they
//! come at the expected rate". Expected is the largest of three: the usual rate, the usual share of the sign-ins of owners, and half of the
//! successes from new devices. So a busy hour, or a campaign that brings many customers with new phones and forgotten passwords, is no attack:
//! there, most of the new devices get in.
//!
//! The start and the end are change points: the minutes between which the likelihood of the higher rate is largest.

use std::collections::{HashMap, VecDeque};

/// The lengths of the windows in minutes.
const WINDOWS: [i64; 3] = [1, 10, 60];

/// The rates that are tested, as multiples of the expected one.
const RATIOS: [f64; 3] = [3.0, 2.0, 2.0];

/// Added to the expected count of a window: a few suspicious sign-ins at once are usual, because people try again.
const MARGIN: [f64; 3] = [0.7, 1.5, 3.0];

/// The least excess that is tested, in sign-ins.
const LEAST_EXCESS: [f64; 3] = [1.0, 2.0, 4.0];

/// The sum from which a window reports an attack.
const LIMIT: f64 = 12.0;

/// The most that a sum can be.
const MAX_SUM: f64 = 1.3 * LIMIT;

/// Counts vary more than independent ones would: the evidence is divided by this.
const DISPERSION: f64 = 1.5;

/// Suspicious sign-ins that are expected for each success from a new device.
const NEW_DEVICE_ODDS: f64 = 0.5;

/// Suspicious and other sign-ins before anything is known: one in ten.
const PRIOR: (f64, f64) = (2.0, 18.0);

/// The time constant of what is usual, in minutes: a day.
const USUAL_MINUTES: f64 = 1440.0;

/// Suspicious sign-ins above this multiple of the expected ones are not learned as usual, once an hour has been learned.
const LEARNED: (f64, f64) = (3.0, 5.0);

/// Minutes in which a start is searched.
const SEARCHED: usize = 360;

/// An attack has ended when there is no excess for as long as it took for so many attempts, within these bounds in minutes.
const ATTEMPTS_TO_END: f64 = 30.0;
const MINUTES_TO_END: (f64, f64) = (10.0, 90.0);

/// A gap of so many minutes without a sign-in ends an attack, and is not walked through.
const LONGEST_GAP: i64 = 180;

/// The most AS of which the usual rate is stored.
const MAX_ASNS: usize = 4096;

/// The counts of a minute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Minute {
    /// Suspicious sign-ins, at most three of each account.
    pub(crate) suspicious: f64,
    /// All others.
    pub(crate) others: f64,
    /// The successes among them from devices or places that are new to their accounts.
    pub(crate) new_devices: f64,
    /// Suspicious sign-ins by AS.
    pub(crate) asns: HashMap<u32, f64>,
}

/// What happened in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// An attack was found that began in this minute since 1970.
    Started(i64),
    /// The attack ended after this minute.
    Ended(i64),
}

/// What is usual, learned while there is no attack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usual {
    minutes: f64,
    suspicious: f64,
    others: f64,
    asns: HashMap<u32, f64>,
}

/// The windows of one length.
#[derive(Debug, Clone, Copy, Default)]
struct Chart {
    sum: f64,
    counted: f64,
    expected: f64,
}

/// An attack that goes on.
#[derive(Debug, Clone, Copy)]
struct Ongoing {
    start: i64,
    detected: i64,
    counted: f64,
    expected: f64,
}

/// The state of the test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detector {
    /// The first minute that was not taken up.
    next: Option<i64>,
    pub(crate) usual: Usual,
    charts: [Chart; WINDOWS.len()],
    /// Minute, count and expected count, newest last.
    recent: VecDeque<(i64, f64, f64)>,
    ongoing: Option<Ongoing>,
}

impl Usual {
    /// The usual suspicious sign-ins of an AS in so many seconds.
    #[expect(clippy::cast_precision_loss, reason = "seconds of days")]
    pub(crate) fn of_asn(&self, asn: u32, seconds: i64) -> f64 {
        let rate = self.asns.get(&asn).copied().unwrap_or_default() / self.minutes.max(1.0);
        rate * seconds as f64 / 60.0
    }

    fn expected(&self, minute: &Minute) -> f64 {
        let rate = self.suspicious / self.minutes.max(60.0);
        let odds = (self.suspicious + PRIOR.0) / (self.others + PRIOR.1);
        rate.max(odds * minute.others).max(NEW_DEVICE_ODDS * minute.new_devices)
    }

    fn learn(&mut self, minute: &Minute, expected: f64) {
        let most = LEARNED.0 * expected + LEARNED.1;
        let part = if self.minutes > 60.0 && minute.suspicious > most { most / minute.suspicious } else { 1.0 };
        let keep = 1.0 - 1.0 / USUAL_MINUTES;
        self.minutes = self.minutes * keep + 1.0;
        self.suspicious = self.suspicious * keep + minute.suspicious * part;
        self.others = self.others * keep + minute.others;
        self.asns.values_mut().for_each(|count| *count *= keep);
        for (asn, count) in &minute.asns {
            *self.asns.entry(*asn).or_default() += count * part;
        }
        if self.asns.len() > MAX_ASNS {
            let mut counts: Vec<f64> = self.asns.values().copied().collect();
            let (_, median, _) = counts.select_nth_unstable_by(MAX_ASNS / 2, f64::total_cmp);
            let least = *median;
            self.asns.retain(|_, count| *count > least);
        }
    }
}

impl Chart {
    fn add(&mut self, window: usize, minute: i64, counted: f64, expected: f64) {
        self.counted += counted;
        self.expected += expected;
        if (minute + 1).rem_euclid(WINDOWS[window]) == 0 {
            self.sum = self.level(window);
            (self.counted, self.expected) = (0.0, 0.0);
        }
    }

    /// The sum with the present window, which may not be over.
    fn level(&self, window: usize) -> f64 {
        let expected = self.expected + MARGIN[window];
        let tested = expected * RATIOS[window] + LEAST_EXCESS[window];
        let evidence = (self.counted * (tested / expected).ln() - (tested - expected)) / DISPERSION;
        (self.sum + evidence).clamp(0.0, MAX_SUM)
    }
}

impl Detector {
    /// The first minute of the attack that goes on.
    pub(crate) fn ongoing(&self) -> Option<i64> {
        self.ongoing.map(|ongoing| ongoing.start)
    }

    /// The first minute that was not taken up.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Takes up a minute, and the empty ones before it.
    pub(crate) fn take_up(&mut self, minute: i64, counts: &Minute) -> Vec<Event> {
        let mut events = Vec::new();
        let next = self.next.unwrap_or(minute);
        if minute - next > LONGEST_GAP {
            events.extend(self.end());
            self.charts = <[Chart; WINDOWS.len()]>::default();
            self.recent.clear();
        } else {
            let empty = Minute::default();
            (next..minute).for_each(|minute| events.extend(self.take_up_one(minute, &empty)));
        }
        events.extend(self.take_up_one(minute, counts));
        self.next = Some(minute + 1);
        events
    }

    fn take_up_one(&mut self, minute: i64, counts: &Minute) -> Option<Event> {
        let expected = self.usual.expected(counts);
        for (window, chart) in self.charts.iter_mut().enumerate() {
            chart.add(window, minute, counts.suspicious, expected);
        }
        if self.recent.len() >= SEARCHED {
            self.recent.pop_front();
        }
        self.recent.push_back((minute, counts.suspicious, expected));
        let is_alarmed = self.is_alarmed();
        match &mut self.ongoing {
            Some(ongoing) => {
                ongoing.counted += counts.suspicious;
                ongoing.expected += expected;
                if self.is_over(minute) { self.end() } else { None }
            }
            None if is_alarmed => {
                let start = self.change_point();
                let since = self.recent.iter().filter(|(at, ..)| *at >= start);
                let (counted, expected) = since.fold((0.0, 0.0), |(counted, expected), (_, count, usual)| (counted + count, expected + usual));
                self.ongoing = Some(Ongoing { start, detected: minute, counted, expected });
                Some(Event::Started(start))
            }
            None => {
                self.usual.learn(counts, expected);
                None
            }
        }
    }

    fn is_alarmed(&self) -> bool {
        self.charts.iter().enumerate().any(|(window, chart)| {
            // A window that has just ended is in the sum.
            let level = if chart.counted > 0.0 { chart.level(window) } else { chart.sum };
            level >= LIMIT
        })
    }

    /// The minute from which on the counts are likeliest to be of a higher rate.
    fn change_point(&self) -> i64 {
        let (mut counted, mut expected) = (0.0_f64, 0.0_f64);
        let mut best = (0.0, self.recent.back().map_or(0, |(minute, ..)| *minute));
        for (minute, count, usual) in self.recent.iter().rev() {
            counted += count;
            expected += usual + 0.2;
            if counted > expected && *count > 0.0 {
                let evidence = counted * (counted / expected).ln() - (counted - expected);
                if evidence > best.0 {
                    best = (evidence, *minute);
                }
            }
        }
        best.1
    }

    /// Whether the newest minutes show no excess.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes of a few hours")]
    fn is_over(&self, minute: i64) -> bool {
        let Some(ongoing) = self.ongoing else { return false };
        let minutes = (minute + 1 - ongoing.start).max(1) as f64;
        let rate = ((ongoing.counted - ongoing.expected) / minutes).max(0.01);
        let quiet = (ATTEMPTS_TO_END / rate).clamp(MINUTES_TO_END.0, MINUTES_TO_END.1).ceil();
        if ((minute - ongoing.detected) as f64) < quiet {
            return false;
        }
        let newest = self.recent.iter().rev().take(quiet as usize);
        let (counted, expected) = newest.fold((0.0, 0.0), |(counted, expected), (_, count, usual)| (counted + count, expected + usual));
        counted < expected + 0.2 * rate.min(5.0) * quiet
    }

    fn end(&mut self) -> Option<Event> {
        let ongoing = self.ongoing.take()?;
        let ratio = (ongoing.counted / (ongoing.expected + 1.0)).max(1.5);
        // The last minute up to which the higher rate is likelier.
        let (mut sum, mut best) = (0.0, (f64::MIN, ongoing.start));
        for (minute, count, usual) in self.recent.iter().filter(|(minute, ..)| *minute >= ongoing.start) {
            sum += count * ratio.ln() - (ratio - 1.0) * (usual + 0.2);
            if sum >= best.0 && *count > 0.0 {
                best = (sum, *minute);
            }
        }
        self.charts = <[Chart; WINDOWS.len()]>::default();
        self.recent.retain(|(minute, ..)| *minute > best.1);
        Some(Event::Ended(best.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(suspicious: f64, others: f64, new_devices: f64) -> Minute {
        Minute { suspicious, others, new_devices, asns: HashMap::new() }
    }

    /// Takes up minutes; returns the events, each with the minute in which it was found.
    fn run(minutes: &[Minute]) -> Vec<(i64, Event)> {
        let mut detector = Detector::default();
        let mut found = Vec::new();
        for (at, minute) in (0_i64..).zip(minutes) {
            found.extend(detector.take_up(at, minute).into_iter().map(|event| (at, event)));
        }
        found
    }

    #[test]
    fn a_wave_starts_and_ends_and_a_busy_day_is_none() {
        let mut minutes = vec![minute(2.0, 45.0, 1.0); 120];
        minutes.extend(vec![minute(40.0, 45.0, 1.0); 10]);
        minutes.extend(vec![minute(2.0, 45.0, 1.0); 60]);
        assert_eq!(run(&minutes), [(120, Event::Started(120)), (139, Event::Ended(129))]);
        let mut busy = vec![minute(2.0, 45.0, 1.0); 120];
        busy.extend(vec![minute(90.0, 2000.0, 40.0); 60]);
        assert_eq!(run(&busy), []);
    }

    #[test]
    fn a_surge_of_customers_with_new_phones_and_forgotten_passwords_is_no_attack() {
        let mut minutes = vec![minute(2.0, 40.0, 3.0); 120];
        minutes.extend(vec![minute(30.0, 140.0, 100.0); 90]);
        assert_eq!(run(&minutes), []);
    }

    #[test]
    fn a_spray_of_three_attempts_in_two_minutes_is_found_with_its_start_and_stays_one_attack() {
        let mut minutes: Vec<Minute> = (0..190).map(|at| minute(f64::from(u8::from(at % 4 == 0)), 6.0, 0.4)).collect();
        minutes.extend((0..300).map(|at| minute(f64::from(1 + u8::from(at % 2 == 0)), 6.0, 0.4)));
        let found = run(&minutes);
        assert!(matches!(found[..], [(detected, Event::Started(start))] if detected < 225 && (188..=192).contains(&start)), "{found:?}");
    }

    #[test]
    fn what_was_usual_before_a_burst_is_expected_after_it() {
        let mut minutes = vec![minute(3.0, 3.0, 0.0); 600];
        assert_eq!(run(&minutes), [], "a steady background is usual");
        minutes.extend(vec![minute(30.0, 3.0, 0.0); 3]);
        minutes.extend(vec![minute(3.0, 3.0, 0.0); 100]);
        assert!(matches!(run(&minutes)[..], [(600, Event::Started(600)), (_, Event::Ended(602))]), "{:?}", run(&minutes));
    }

    #[test]
    fn the_number_of_as_with_a_usual_rate_is_bounded() {
        let mut usual = Usual::default();
        for minute in 0..20 {
            let asns = (0..1000).map(|number| (minute * 1000 + number, 1.0)).collect();
            usual.learn(&Minute { suspicious: 1000.0, asns, ..Minute::default() }, 1000.0);
            assert!(usual.asns.len() <= MAX_ASNS, "{}", usual.asns.len());
        }
    }

    #[test]
    fn a_gap_ends_an_attack() {
        let mut detector = Detector::default();
        (0..60).for_each(|at| drop(detector.take_up(at, &minute(1.0, 20.0, 0.0))));
        assert_eq!(detector.take_up(60, &minute(60.0, 20.0, 0.0)), [Event::Started(60)]);
        assert_eq!(detector.take_up(5000, &minute(1.0, 20.0, 0.0)), [Event::Ended(60)]);
        assert_eq!(detector.ongoing(), None);
    }
}
