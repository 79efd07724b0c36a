//! Attack periods: times in which far more sign-ins than usual were flagged, stopped, or had a wrong password.
//!
//! Sign-ins from a device that the user is known to use do not count.
//!
//! A bucket belongs to an attack if its risky sign-ins exceed four times the usual number (twice, if the bucket has ten minutes or more) plus
//! the spread of a Poisson count, and make up a larger share of all than usual. The usual number is the lower quartile of the buckets, which an
//! attack of less than three quarters of the time does not move. The usual share is that of the other buckets: a busy morning has more wrong
//! passwords, but no larger share of them.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{activity::Activity, let_in, ranking::Tally, row::Row};

/// The fewest risky sign-ins in a bucket that belongs to an attack.
const MIN_RISKY: u32 = 10;

/// In a bucket that belongs to an attack: how many times the usual number of sign-ins are risky at least, and the smallest share of risky ones.
const MIN_EXCESS: (f64, f64) = (4.0, 0.25);

/// The same for long buckets, which have less chance in them. A surge of customers with forgotten passwords stays below.
const MIN_EXCESS_LONG: (f64, f64) = (2.0, 0.2);

/// From how many seconds on a bucket is long.
const LONG: i64 = 600;

/// Risky and all sign-ins that are added to the usual ones, so that a few of them are no proof of a share: 10 % of 20.
const PRIOR: (f64, f64) = (2.0, 20.0);

/// The part of the risky sign-ins at either end of a period that may be ordinary ones before or after the attack: one in this many.
const OUTLIERS: usize = 50;

/// Attack buckets at most this far apart belong to one period.
const MAX_GAP: usize = 3;

/// A period whose last bucket is at most this many buckets old goes on.
const ONGOING_BUCKETS: i64 = 3;

/// The views that find an attack that goes on: the width of a bucket and the length of the past, in seconds. The first finds a fast attack
/// within seconds, the last one of a few attempts a minute.
const VIEWS: [(i64, i64); 3] = [(5, 1800), (60, 6 * 3600), (LONG, 86_400)];

/// The fewest other users with risky sign-ins from a hostile network.
const MIN_RISKY_USERS: usize = 3;

/// AS that the description names.
const MAX_NAMED: usize = 3;

/// An attack on more than one account in this many attempts tries leaked passwords; one on fewer accounts guesses.
const STUFFING_ATTEMPTS: usize = 4;

/// A time with an attack, in seconds since 1970. The end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The start of the first bucket.
    pub from: i64,
    /// The end of the last bucket.
    pub to: i64,
}

/// Networks by the users with risky sign-ins from them, and by all sign-ins.
#[derive(Debug, Default)]
pub(crate) struct Networks<'a>(HashMap<&'a SmolStr, (HashSet<&'a SmolStr>, usize)>);

impl<'a> Networks<'a> {
    pub(crate) fn of(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut networks = Networks::default();
        for row in rows {
            if let (Some(net), Some(user)) = (&row.net, &row.user) {
                let (users, total) = networks.0.entry(net).or_default();
                *total += 1;
                if row.is_suspect() {
                    users.insert(user);
                }
            }
        }
        networks
    }

    /// Whether most sign-ins from a row's network were risky, of several users other than its own: a success among them is a taken account.
    pub(crate) fn is_hostile(&self, row: &Row) -> bool {
        let Some((users, total)) = row.net.as_ref().and_then(|net| self.0.get(net)) else { return false };
        let others = users.len() - usize::from(row.user.as_ref().is_some_and(|user| users.contains(user)));
        others >= MIN_RISKY_USERS && others * 2 >= *total
    }
}

/// Counts of one bucket: all sign-ins and the risky ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// All sign-ins.
    pub total: u32,
    /// Flagged or stopped ones and those with a wrong password, but not from a known device.
    pub risky: u32,
}

/// The attack periods in consecutive buckets of `width` seconds from `from`.
pub fn periods(buckets: &[Bucket], from: i64, width: i64) -> Vec<Period> {
    let mut counts: Vec<u32> = buckets.iter().map(|bucket| bucket.risky).collect();
    counts.sort_unstable();
    let usual = f64::from(counts.get(counts.len() / 4).copied().unwrap_or_default());
    let (factor, min_share) = if width >= LONG { MIN_EXCESS_LONG } else { MIN_EXCESS };
    let threshold = (factor * usual + 3.0 * usual.sqrt()).max(f64::from(MIN_RISKY));
    let is_frequent = |bucket: &Bucket| f64::from(bucket.risky) >= threshold && f64::from(bucket.risky) >= min_share * f64::from(bucket.total);
    let (risky, total) = buckets
        .iter()
        .filter(|bucket| !is_frequent(bucket))
        .fold(PRIOR, |(risky, total), bucket| (risky + f64::from(bucket.risky), total + f64::from(bucket.total)));
    let share = risky / total;
    let is_attack = |bucket: &Bucket| {
        let expected = f64::from(bucket.total) * share;
        is_frequent(bucket) && f64::from(bucket.risky) >= expected + 3.0 * (expected * (1.0 - share)).sqrt()
    };
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (index, _) in buckets.iter().enumerate().filter(|(_, bucket)| is_attack(bucket)) {
        match found.last_mut() {
            Some((_, last)) if index - *last <= MAX_GAP => *last = index,
            Some(_) | None => found.push((index, index)),
        }
    }
    let time = |index: usize| from + width * i64::try_from(index).unwrap_or_default();
    found.into_iter().map(|(first, last)| Period { from: time(first), to: time(last + 1) }).collect()
}

impl Activity {
    /// The attack that goes on at `now`, in seconds since 1970.
    pub fn ongoing_attack(&self, now: i64) -> Option<Period> {
        VIEWS.iter().find_map(|(width, past)| {
            let from = (now - past).max(self.oldest()).div_euclid(*width) * width;
            let period = periods(&self.buckets(from, now + 1, *width), from, *width).pop()?;
            (now - period.to <= ONGOING_BUCKETS * width).then_some(period)
        })
    }

    /// The same period to the minute, when its buckets are wider: from the first to the last of its risky sign-ins, without a few at either end.
    pub fn to_the_minute(&self, period: Period) -> Period {
        let seconds = self.rows.iter().filter(|row| row.is_suspect()).map(|row| row.at.div_euclid(1000));
        let mut times: Vec<i64> = seconds.filter(|at| (period.from..period.to).contains(at)).collect();
        times.sort_unstable();
        let skipped = times.len() / OUTLIERS;
        match (times.get(skipped), times.len().checked_sub(skipped + 1).and_then(|last| times.get(last))) {
            (Some(first), Some(last)) => Period { from: first.div_euclid(60) * 60, to: (last.div_euclid(60) + 1) * 60 },
            (None, _) | (_, None) => period,
        }
    }

    /// The time of the oldest stored row that is not far older than the others.
    fn oldest(&self) -> i64 {
        self.rows.front().map_or(i64::MAX / 2, |row| row.at.div_euclid(1000))
    }

    /// The counts of all rows in buckets.
    pub(crate) fn buckets(&self, from: i64, to: i64, width: i64) -> Vec<Bucket> {
        let length = usize::try_from((to - from + width - 1) / width).unwrap_or_default();
        let mut buckets = vec![Bucket::default(); length];
        for row in &self.rows {
            let index = (row.at.div_euclid(1000) - from).div_euclid(width);
            if let Some(bucket) = usize::try_from(index).ok().and_then(|index| buckets.get_mut(index)) {
                bucket.total += 1;
                bucket.risky += u32::from(row.is_suspect());
            }
        }
        buckets
    }

    /// Describes a period: how many sign-ins, from where, at whom, and with what success. Users and networks are named only with
    /// `is_identified`.
    pub fn describe(&self, period: Period, is_identified: bool) -> Value {
        let mut all = Tally::default();
        let mut asns: HashMap<u32, Tally> = HashMap::new();
        let mut countries = HashMap::new();
        let mut nets: HashMap<&SmolStr, u32> = HashMap::new();
        let mut users: HashMap<&SmolStr, u32> = HashMap::new();
        for row in &self.rows {
            let at = row.at.div_euclid(1000);
            if at < period.from || at >= period.to {
                continue;
            }
            all.add_suspect(row);
            asns.entry(row.asn.unwrap_or_default()).or_default().add_suspect(row);
            if row.is_suspect() {
                *countries.entry(row.country).or_insert(0_u32) += 1;
                row.net.iter().for_each(|net| *nets.entry(net).or_default() += 1);
                row.user.iter().for_each(|user| *users.entry(user).or_default() += 1);
            }
        }
        let mut sources: Vec<(u32, Tally)> = asns.into_iter().filter(|(asn, tally)| *asn != 0 && is_source(*tally)).collect();
        sources.sort_unstable_by_key(|(asn, tally)| (std::cmp::Reverse(tally.risky), *asn));
        let is_in_period = |row: &&Row| (period.from..period.to).contains(&row.at.div_euclid(1000));
        let networks = Networks::of(self.rows.iter().filter(is_in_period));
        let is_from_source = |row: &Row| networks.is_hostile(row) || row.asn.is_some_and(|asn| sources.iter().any(|(source, _)| *source == asn));
        // A person on the network of an attacker has a known device.
        let is_of_attack = |row: &&Row| row.got_in() && !row.is_known_device && is_from_source(row);
        let got_in: Vec<&Row> = self.rows.iter().rev().filter(is_in_period).filter(is_of_attack).collect();
        let accounts_got_in: HashSet<&SmolStr> = got_in.iter().filter_map(|row| row.user.as_ref()).collect();
        let kind = if users.len() * STUFFING_ATTEMPTS >= usize::try_from(all.risky).unwrap_or_default() { "credential_stuffing" } else { "password_guessing" };
        let named: Vec<Value> = sources.iter().take(MAX_NAMED).map(|(asn, tally)| json!({ "asn": asn, "risky": tally.risky })).collect();
        let mut countries: Vec<_> = countries.into_iter().filter_map(|(country, count)| Some((country?, count))).collect();
        countries.sort_unstable_by_key(|(country, count)| (std::cmp::Reverse(*count), *country));
        let countries: Vec<&str> = countries.iter().take(MAX_NAMED).map(|(country, _)| self.codes.text(*country)).collect();
        let mut description = json!({
            "kind": kind, "from": period.from, "to": period.to, "total": all.total, "risky": all.risky, "stopped": all.stopped,
            "networks": nets.len(), "asns": sources.len(), "accounts": users.len(), "got_in": accounts_got_in.len(), "named": named, "countries": countries,
        });
        if is_identified && let Value::Object(members) = &mut description {
            members.insert("top_net".to_owned(), json!(top(&nets)));
            members.insert("top_user".to_owned(), json!(top(&users)));
            members.insert("accounts_let_in".to_owned(), let_in::list(got_in.into_iter()));
        }
        description
    }
}

/// Whether an AS takes part in an attack: most of its sign-ins are risky.
fn is_source(tally: Tally) -> bool {
    tally.risky >= 2 && tally.risky * 2 > tally.total
}

fn top<'a>(counts: &HashMap<&'a SmolStr, u32>) -> Option<&'a SmolStr> {
    counts.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse(**name))).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    fn buckets(counts: &[(u32, u32)]) -> Vec<Bucket> {
        counts.iter().map(|(total, risky)| Bucket { total: *total, risky: *risky }).collect()
    }

    #[test]
    fn a_wave_is_one_period_and_a_busy_day_none() {
        let mut counts = vec![(45, 2); 12];
        counts.extend([(180, 120), (200, 150), (50, 3), (190, 140)]);
        assert_eq!(periods(&buckets(&counts), 1000, 5), [Period { from: 1060, to: 1080 }]);
        assert_eq!(periods(&buckets(&[(500, 30); 20]), 0, 5), []);
        assert_eq!(periods(&buckets(&[(45, 2), (45, 3), (4500, 200)]), 0, 5), []);
        assert_eq!(periods(&[], 0, 5), []);
    }

    #[test]
    fn few_wrong_passwords_are_no_attack() {
        assert_eq!(periods(&buckets(&[(2, 0), (3, 0), (4, 4), (9, 9)]), 0, 5), []);
    }

    #[test]
    fn a_busy_hour_with_the_usual_share_of_wrong_passwords_is_no_attack() {
        let mut counts = [(3, 1), (2, 1), (4, 2), (0, 0), (5, 2), (3, 2)].repeat(4);
        counts.push((21, 11));
        assert_eq!(periods(&buckets(&counts), 0, 21_600), []);
        counts[24] = (40, 38);
        assert_eq!(periods(&buckets(&counts), 0, 21_600).len(), 1);
    }

    /// A day of people, with a spray of a few attempts a minute in its last five hours.
    fn day_with_a_slow_spray() -> Activity {
        const NOW: i64 = 1_800_000_000;
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |at: i64, user: &str, net: &str, asn: i64, outcome: &str| {
            let time = jiff::Timestamp::from_second(at).expect("a time");
            let id = format!("{at}-{user}");
            activity.record(&format!(r#"{{"time":"{time}","id":"{id}","decision":"allow","score":9,"user":"{user}","net":"{net}","asn":{asn}}}"#));
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        };
        for minute in 0..1440 {
            let at = NOW - 86_400 + minute * 60;
            (0..5).for_each(|number| {
                let outcome = if (minute * 5 + number) % 20 == 0 { "failure" } else { "success" };
                add(at + number, &format!("person-{number}-{}", minute % 80), &format!("home-{}", minute % 300), 7018, outcome);
            });
            if minute >= 1140 {
                (0..2).for_each(|number| {
                    let is_right = minute == 1300 && number == 0;
                    let user = if is_right { "taken".to_owned() } else { format!("target-{minute}-{number}") };
                    add(at + 30 + number, &user, &format!("phone-{}", minute % 20), 21_928, if is_right { "success" } else { "failure" });
                });
            }
        }
        activity
    }

    #[test]
    fn a_spray_of_two_attempts_a_minute_is_found_while_it_goes_on_and_only_its_victims_count_as_let_in() {
        let activity = day_with_a_slow_spray();
        let period = activity.ongoing_attack(1_800_000_000).expect("an attack");
        assert!((period.from - (1_800_000_000 - 5 * 3600)).abs() <= 600, "{period:?}");
        assert_eq!(activity.describe(period, true)["got_in"], 1);
    }
}
