//! Owners who were stopped: sign-ins that were denied or challenged, and then or before proven right by the same device or network.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{activity::Activity, changes::Change, decision::Outcome, row::Row};

/// The longest time between a stopped sign-in and the success that proves its user right, in milliseconds.
const PROOF_WITHIN: i64 = 24 * 3_600_000;

/// From so many stopped sign-ins of so many proven owners on, in one AS, they are a mass; and they are this part of the accounts stopped there.
const MASS: (usize, usize) = (10, 5);
const MASS_PART: f64 = 0.3;

/// The part of the stopped sign-ins from which on those before a change are left out: nine of ten.
const PART_AFTER: (usize, usize) = (9, 10);

/// AS that are named.
const MAX_NAMED: usize = 3;

/// A mass with a stopped sign-in in the last so many seconds goes on.
const ONGOING_SECONDS: i64 = 1800;

/// A change of the configuration up to so many seconds before a mass is named with it.
const CHANGE_BEFORE: i64 = 6 * 3600;

/// Stopped sign-ins and accounts of an AS.
#[derive(Default)]
struct Stopped<'a> {
    rows: Vec<&'a Row>,
    /// Those that were probably by the accounts' owners.
    proven: Vec<&'a Row>,
}

impl Stopped<'_> {
    /// Whether they are a mass of owners.
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand rows")]
    fn is_mass(&self) -> bool {
        let (owners, accounts) = (accounts(&self.proven), accounts(&self.rows));
        self.proven.len() >= MASS.0 && owners >= MASS.1 && owners as f64 >= MASS_PART * accounts as f64
    }
}

/// How many accounts the rows are of.
fn accounts(rows: &[&Row]) -> usize {
    rows.iter().filter_map(|row| row.user.as_ref()).collect::<HashSet<_>>().len()
}

impl Activity {
    /// The stopped sign-ins since `from`, in milliseconds, that were probably by the account's owner, newest first, each with why.
    pub(crate) fn stopped_owners(&self, from: i64) -> Vec<(&Row, &'static str)> {
        let stopped = || self.rows.iter().rev().filter(move |row| row.at >= from && row.is_stopped() && !row.is_session);
        let users: HashSet<&SmolStr> = stopped().filter_map(|row| row.user.as_ref()).collect();
        // The successes of these users by device and by network.
        let mut proofs: HashMap<(&SmolStr, &SmolStr), Vec<i64>> = HashMap::new();
        for row in self.rows.iter().filter(|row| row.outcome == Some(Outcome::Success) && !row.is_stopped()) {
            let Some(user) = row.user.as_ref().filter(|user| users.contains(user)) else { continue };
            for origin in [&row.device, &row.net].into_iter().flatten() {
                proofs.entry((user, origin)).or_default().push(row.at);
            }
        }
        proofs.values_mut().for_each(|successes| successes.sort_unstable());
        stopped().filter_map(|row| Some((row, proof(row, &proofs)?))).collect()
    }

    /// The owners who were stopped in a mass in the last day, of all AS with a mass; null if there is none. Many at once are no attack, but probably
    /// a new exit of their network, or thresholds that are too low.
    pub(crate) fn stopped_mass(&self, now: i64) -> Value {
        let from = (now - 86_400) * 1000;
        let mut groups: HashMap<Option<u32>, Stopped<'_>> = HashMap::new();
        for (row, _) in self.stopped_owners(from) {
            groups.entry(row.asn).or_default().proven.push(row);
        }
        for row in self.rows.iter().filter(|row| row.at >= from && row.is_stopped() && !row.is_session) {
            if let Some(group) = groups.get_mut(&row.asn) {
                group.rows.push(row);
            }
        }
        groups.retain(|_, group| group.is_mass());
        // If nearly all came after a change, the few before it are ordinary ones.
        let change = self.changes.newest(now);
        let all = groups.values().map(|group| group.rows.len()).sum::<usize>();
        let after = |row: &&Row, change: &Change| row.at >= change.at * 1000;
        if let Some(change) = change
            && groups.values().flat_map(|group| &group.rows).copied().filter(|row| after(row, change)).count() * PART_AFTER.1 >= all * PART_AFTER.0
        {
            for group in groups.values_mut() {
                group.rows.retain(|row| after(row, change));
                group.proven.retain(|row| after(row, change));
            }
            groups.retain(|_, group| !group.rows.is_empty());
        }
        if groups.is_empty() {
            return Value::Null;
        }
        let mut by_asn: Vec<(Option<u32>, usize)> = groups.iter().map(|(asn, group)| (*asn, group.rows.len())).collect();
        by_asn.sort_unstable_by_key(|(asn, stopped)| (std::cmp::Reverse(*stopped), *asn));
        let named: Vec<Value> = by_asn.iter().take(MAX_NAMED).map(|(asn, stopped)| json!({ "asn": asn, "stopped": stopped })).collect();
        let mut group = Stopped::default();
        for (_, other) in groups {
            group.rows.extend(other.rows);
            group.proven.extend(other.proven);
        }
        let times = || group.rows.iter().map(|row| row.at.div_euclid(1000));
        let (first, last) = (times().min().unwrap_or(now), times().max().unwrap_or(now));
        let networks: HashSet<&SmolStr> = group.rows.iter().filter_map(|row| row.net.as_ref()).collect();
        let countries: HashSet<_> = group.rows.iter().filter_map(|row| row.country).collect();
        let country = countries.iter().next().filter(|_| countries.len() == 1).map(|code| self.codes.text(*code));
        let before = change.filter(|change| (0..=CHANGE_BEFORE).contains(&(first - change.at)));
        json!({
            "asns": by_asn.len(), "named": named, "country": country, "networks": networks.len(), "stopped": group.rows.len(), "accounts": accounts(&group.rows),
            "proven": group.proven.len(), "proven_accounts": accounts(&group.proven), "from": first, "to": last + 1, "is_ongoing": now - last <= ONGOING_SECONDS,
            "change": before.map(|change| json!({ "at": change.at, "text": change.describe() })),
        })
    }
}

/// Why a stopped sign-in was probably by the account's owner.
fn proof(row: &Row, proofs: &HashMap<(&SmolStr, &SmolStr), Vec<i64>>) -> Option<&'static str> {
    match row.outcome {
        Some(Outcome::Fraud | Outcome::ChallengeFailed) => return None,
        Some(Outcome::NotFraud) => return Some("reported as the user"),
        Some(Outcome::ChallengePassed) => return Some("passed the challenge"),
        Some(Outcome::Success | Outcome::Failure) | None => {}
    }
    let user = row.user.as_ref()?;
    // The successes are in the order of their times: a service account may have tens of thousands.
    let got_in = |origin: Option<&SmolStr>, from: i64, to: i64| {
        let successes = origin.and_then(|origin| proofs.get(&(user, origin))).map(Vec::as_slice).unwrap_or_default();
        successes.get(successes.partition_point(|at| *at < from)).is_some_and(|at| *at < to)
    };
    let end = row.at + PROOF_WITHIN + 1;
    if got_in(row.device.as_ref(), row.at, end) {
        Some("the same user got in from the same device afterwards")
    } else if got_in(row.net.as_ref(), row.at, end) {
        Some("the same user got in from the same network afterwards")
    } else {
        got_in(row.device.as_ref(), row.at - PROOF_WITHIN, row.at).then_some("the same user got in from the same device before")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn staff_who_are_stopped_after_a_change_are_a_mass_with_the_change_before_it() {
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |second: i64, user: i64, (net, asn): (&str, u32), decision: &str, deny: i64| {
            let time = jiff::Timestamp::from_second(NOW + second).expect("a time");
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{second}","decision":"{decision}","score":45,"user":"staff-{user}","device":"d{user}","net":"{net}","asn":{asn},"client":"crm","thresholds":{{"review":20,"challenge":null,"deny":{deny}}}}}"#
            ));
            if decision == "allow" {
                activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{second}","outcome":"success"}}"#));
            }
        };
        (0..600).for_each(|number| add(number * 10, number % 30, ("office", 3320), "allow", 80));
        // One stopped by chance before the change.
        add(5995, 7, ("proxy", 16_509), "deny", 80);
        (600..660).for_each(|number| add(number * 10, number % 30, ("office", 3320), "allow", 35));
        assert_eq!(activity.stopped_mass(NOW + 6600), Value::Null);
        let mut add = |second: i64, user: i64| {
            let time = jiff::Timestamp::from_second(NOW + second).expect("a time");
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{second}","decision":"deny","score":45,"user":"staff-{user}","device":"d{user}","net":"proxy","asn":16509,"client":"crm"}}"#
            ));
        };
        (660..720).for_each(|number| add(number * 10, number % 30));
        let mass = activity.stopped_mass(NOW + 7200);
        let figures = ["asns", "networks", "stopped", "accounts", "proven"].map(|name| mass[name].as_u64());
        assert_eq!(mass["named"], json!([{ "asn": 16_509, "stopped": 60 }]));
        assert_eq!(figures, [Some(1), Some(1), Some(60), Some(30), Some(60)]);
        assert_eq!((&mass["change"]["text"], &mass["change"]["at"]), (&json!("crm: deny from 80 to 35"), &json!(NOW + 6000)));
        assert_eq!((&mass["from"], &mass["is_ongoing"]), (&json!(NOW + 6600), &json!(true)));
        assert_eq!(activity.stopped_mass(NOW + 7200 + 86_400), Value::Null);
    }
}
