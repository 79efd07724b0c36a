//! Likely mistakes: people who were stopped and then proven right, and sign-ins that were let in and then contradicted.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    activity::Activity,
    codes::{Code, Codes},
    decision::Outcome,
    filter::Filter,
    let_in::{ATTACK_WAVE, LetIn},
    row::Row,
    session::{SessionJudgement, SessionResult},
};

/// Findings of each kind that are listed.
const MAX_FINDINGS: usize = 100;

/// The least range, in seconds: who was stopped is rarely proven right within the hour.
const MIN_SECONDS: i64 = 86_400;

/// The fewest other users with suspicious sign-ins from a hostile network.
const MIN_USERS: usize = 3;

/// Sign-ins of one kind.
#[derive(Default)]
struct Findings<'a> {
    total: usize,
    listed: Vec<Value>,
    accounts: HashSet<&'a SmolStr>,
    groups: HashMap<Option<u32>, Group<'a>>,
}

/// The sign-ins from one AS.
#[derive(Default)]
struct Group<'a> {
    sign_ins: u32,
    accounts: HashSet<&'a SmolStr>,
    networks: HashSet<&'a SmolStr>,
    country: Option<Code>,
    from: i64,
    to: i64,
}

/// Networks by the users with suspicious sign-ins from them, and by all sign-ins.
struct Networks<'a>(HashMap<&'a SmolStr, (HashSet<&'a SmolStr>, usize)>);

impl Networks<'_> {
    /// Whether most sign-ins from a row's network were suspicious, of several users other than its own: a success among them is a taken account.
    fn is_hostile(&self, row: &Row) -> bool {
        let Some((users, total)) = row.net.as_ref().and_then(|net| self.0.get(net)) else { return false };
        let others = users.len() - usize::from(row.user.as_ref().is_some_and(|user| users.contains(user)));
        others >= MIN_USERS && others * 2 >= *total && !row.is_own_device
    }
}

impl<'a> Findings<'a> {
    fn add(&mut self, row: &'a Row, why: &str, attack: Option<i64>, codes: &Codes) {
        self.total += 1;
        self.accounts.extend(&row.user);
        let at = row.at.div_euclid(1000);
        let group = self.groups.entry(row.asn).or_insert_with(|| Group { from: at, to: at, ..Group::default() });
        group.sign_ins += 1;
        group.accounts.extend(&row.user);
        group.networks.extend(&row.net);
        group.country = row.country.or(group.country);
        (group.from, group.to) = (group.from.min(at), group.to.max(at));
        if self.listed.len() < MAX_FINDINGS {
            let mut value = row.to_json(codes);
            if let Value::Object(members) = &mut value {
                members.insert("why".to_owned(), why.into());
                members.insert("attack".to_owned(), attack.into());
            }
            self.listed.push(value);
        }
    }

    /// The groups, those with the most sign-ins first.
    fn groups(&self, codes: &Codes) -> Vec<Value> {
        let mut groups: Vec<(&Option<u32>, &Group<'_>)> = self.groups.iter().collect();
        groups.sort_unstable_by_key(|(asn, group)| (std::cmp::Reverse(group.sign_ins), **asn));
        let shown = groups.into_iter().take(MAX_FINDINGS).map(|(asn, group)| {
            let net = if group.networks.len() == 1 { group.networks.iter().next() } else { None };
            json!({
                "asn": asn, "country": group.country.map(|code| codes.text(code)), "net": net, "networks": group.networks.len(), "sign_ins": group.sign_ins,
                "accounts": group.accounts.len(), "from": group.from, "to": group.to,
            })
        });
        shown.collect()
    }
}

impl Activity {
    /// The likely false positives and the likely missed attacks among the selected rows: those of an attack first, then the newest. A range that
    /// ends now covers at least a day, and the attack that goes on.
    pub fn findings(&self, filter: &Filter, now: i64) -> Value {
        let mut filter = filter.clone();
        if filter.ends_now() && filter.attack.is_none() {
            let attack = self.ongoing_attack().map_or(now, |attack| attack.from);
            filter.extend_to(now.saturating_sub(attack).max(MIN_SECONDS));
        }
        let selection = self.selection(&filter, now);
        let (from, _) = self.bounds_of(&filter, now);
        let mut stopped = Findings::default();
        for (row, why) in self.stopped_owners(from.saturating_mul(1000)) {
            if selection.matches(row) {
                stopped.add(row, why, None, &self.codes);
            }
        }
        let mut let_in = Findings::default();
        let mut of_attacks: HashSet<&SmolStr> = HashSet::new();
        for attack in self.attacks().rev().filter(|attack| attack.to.is_none_or(|to| to > from)) {
            // One row for each account, the first one.
            let mut accounts: HashSet<&SmolStr> = HashSet::new();
            let mut found = self.let_in_by(attack);
            of_attacks.extend(found.iter().map(|found| &found.row.id));
            found.retain(|found| selection.matches(found.row) && found.row.user.as_ref().is_none_or(|user| accounts.insert(user)));
            for LetIn { row, why } in found.into_iter().rev() {
                let_in.add(row, &why, Some(attack.id()), &self.codes);
            }
        }
        let (networks, wave) = (self.networks(), self.codes.find(ATTACK_WAVE));
        for row in self.rows.iter().rev().filter(|row| selection.matches(row) && !of_attacks.contains(&row.id)) {
            if let Some(why) = missed_attack(row, &networks, wave) {
                let_in.add(row, why, None, &self.codes);
            }
        }
        json!({
            "false_positives": stopped.listed, "missed_attacks": let_in.listed, "limit": MAX_FINDINGS, "from": from,
            "totals": { "false_positives": stopped.total, "missed_attacks": let_in.total },
            "accounts": { "false_positives": stopped.accounts.len(), "missed_attacks": let_in.accounts.len() },
            "groups": { "false_positives": stopped.groups(&self.codes), "missed_attacks": let_in.groups(&self.codes) },
        })
    }

    fn networks(&self) -> Networks<'_> {
        let mut networks = Networks(HashMap::new());
        for row in &self.rows {
            if let (Some(net), Some(user)) = (&row.net, &row.user) {
                let (users, total) = networks.0.entry(net).or_default();
                *total += 1;
                if row.is_suspicious(self.reporting) {
                    users.insert(user);
                }
            }
        }
        networks
    }
}

/// Why a sign-in that was let in was probably an attack.
fn missed_attack(row: &Row, networks: &Networks<'_>, wave: Option<Code>) -> Option<&'static str> {
    if row.is_enforced() {
        return None;
    }
    match (row.session, row.outcome) {
        (_, Some(Outcome::NotFraud)) => return None,
        (Some(SessionJudgement { result: SessionResult::Revoked, .. }), _) => return Some("its session was revoked"),
        (Some(SessionJudgement { is_contradicted: true, result: SessionResult::Denied, .. }), _) => return Some("its session contradicts the claimed address"),
        (Some(SessionJudgement { result: SessionResult::Denied, .. }), _) => return Some("its session's address would have been denied"),
        (Some(_) | None, _) => {}
    }
    match row.outcome {
        Some(Outcome::Fraud) => return Some("reported as fraud"),
        Some(Outcome::ChallengeFailed) => return Some("failed the challenge"),
        Some(Outcome::NotFraud | Outcome::ChallengePassed | Outcome::Failure) | None => return None,
        Some(Outcome::Success) => {}
    }
    if row.has_raising_reason(wave) && !row.is_own_device {
        return Some("it has values of an attack that are new to the account");
    }
    networks.is_hostile(row).then_some("most others from this network were stopped or failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    fn record(activity: &mut Activity, second: i64, user: &str, net: &str, decision: &str, outcome: Option<&str>) {
        let time = jiff::Timestamp::from_second(NOW - 600 + second).expect("a time");
        let id = format!("{second}-{user}");
        activity.record(&format!(r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":90,"user":"{user}","net":"{net}","device":"d-{user}"}}"#));
        if let Some(outcome) = outcome {
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        }
    }

    #[test]
    fn a_stopped_person_is_listed_once_proven_right() {
        let mut activity = Activity::new(Counting::Rows);
        record(&mut activity, 0, "ada", "abroad", "deny", None);
        let found = |activity: &Activity| activity.findings(&Filter::last(3600), NOW)["false_positives"].as_array().map_or(0, Vec::len);
        assert_eq!(found(&activity), 0);
        record(&mut activity, 60, "ada", "home", "allow", Some("success"));
        assert_eq!(found(&activity), 1);
        activity.label("0-ada", Outcome::Fraud);
        assert_eq!(found(&activity), 0);
    }

    #[test]
    fn a_success_amid_an_attack_or_reported_as_fraud_is_missed() {
        let mut activity = Activity::new(Counting::Rows);
        (0..8).for_each(|number| record(&mut activity, number, &format!("target-{number}"), "rented", "deny", None));
        record(&mut activity, 20, "taken", "rented", "allow", Some("success"));
        record(&mut activity, 30, "later", "home", "allow", Some("fraud"));
        record(&mut activity, 40, "person", "home", "allow", Some("success"));
        let findings = activity.findings(&Filter::last(3600), NOW);
        let users: Vec<&str> = findings["missed_attacks"].as_array().into_iter().flatten().filter_map(|row| row["user"].as_str()).collect();
        assert_eq!(users, ["later", "taken"]);
    }
}
