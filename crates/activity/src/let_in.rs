//! The accounts that an attack got into, for an operator to act on, each with why it counts.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use smol_str::{SmolStr, format_smolstr};

use crate::{
    activity::Activity,
    attack::{Attack, Sources},
    codes::Code,
    decision::Outcome,
    row::Row,
    sources::Targets,
};

/// The most accounts that are listed.
const MAX_LISTED: usize = 20;

/// The least score of a success that is connected to an attack by its AS alone: one legitimate sign-in in six looks at least this risky.
const MIN_SCORE: f32 = 20.0;

/// The reasons of a sign-in whose AS, or whose country, was new to its user.
const NEW_ASN: &str = "new_asn";
const NEW_COUNTRY: &str = "new_country";

/// The reason of a sign-in with values of an attack that were new to its user.
pub(crate) const ATTACK_WAVE: &str = "attack_wave";

/// An attack that the detector reports.
#[derive(Debug, Clone, Copy)]
pub struct DetectedAttack<'a> {
    /// The user pool; empty if the sign-ins name none.
    pub pool: &'a str,
    /// The estimated onset, in seconds since 1970.
    pub since: i64,
    /// The over-represented values: countries, `AS64500`, and user agents, of which rows have only the reason.
    pub sources: &'a [SmolStr],
}

/// A sign-in with which an attack got in.
#[derive(Debug)]
pub(crate) struct LetIn<'a> {
    pub(crate) row: &'a Row,
    /// Why it counts.
    pub(crate) why: String,
}

impl Activity {
    /// The accounts that a detected attack got into, as far as their sign-ins are stored: those let in with the reason `attack_wave`, and those let
    /// in from an over-represented AS or country that was new to the user. The latter include the sign-ins before the detection.
    pub fn let_in(&self, attack: DetectedAttack<'_>) -> Value {
        let [wave, asn, country] = [ATTACK_WAVE, NEW_ASN, NEW_COUNTRY].map(|reason| self.codes.find(reason));
        let is_source = |value: &str| attack.sources.iter().any(|source| source == value);
        let why = |row: &Row| {
            let is_new_asn = || row.has_raising_reason(asn) && row.asn.is_some_and(|asn| is_source(&format_smolstr!("AS{asn}")));
            let is_new_country = || row.has_raising_reason(country) && row.country.is_some_and(|country| is_source(self.codes.text(country)));
            if row.has_raising_reason(wave) {
                Some("it has values of the attack that are new to the account")
            } else if is_new_asn() {
                Some("from an AS of the attack that is new to the account")
            } else {
                is_new_country().then_some("from a country of the attack that is new to the account")
            }
        };
        let pool = |row: &Row| row.pool.map_or("", |pool| self.codes.text(pool));
        let rows = self.rows.iter().filter(|row| row.at >= attack.since * 1000 && pool(row) == attack.pool && is_let_in(row));
        list(rows.filter_map(|row| Some(LetIn { row, why: why(row)?.to_owned() })))
    }

    /// The sign-ins with which an attack got in, oldest first. One counts if its network, its AS or its account connects it to attempts of the
    /// attack, and it is not from a device or an address of the account; or if it was reported as fraud.
    pub(crate) fn let_in_by(&self, attack: &Attack) -> Vec<LetIn<'_>> {
        let (mut targets, wave) = (Targets::default(), self.codes.find(ATTACK_WAVE));
        self.rows_of(attack).filter(|row| attack.has_attempt(row, self.reporting)).for_each(|row| targets.add(row));
        let candidates = self.rows_of(attack).filter(|row| is_let_in(row) && !row.is_session);
        let mut found: Vec<LetIn<'_>> = candidates.filter_map(|row| Some(LetIn { row, why: row.why_let_in(&targets, &attack.sources, wave)? })).collect();
        found.sort_by_key(|found| found.row.at);
        found
    }
}

/// Whether a sign-in got in and was not proven to be its user's.
fn is_let_in(row: &Row) -> bool {
    row.got_in() && !matches!(row.outcome, Some(Outcome::ChallengePassed | Outcome::NotFraud))
}

/// Lists accounts, the newest first, each with its first sign-in of the attack.
pub(crate) fn list<'a>(found: impl IntoIterator<Item = LetIn<'a>>) -> Value {
    let mut accounts: HashMap<&SmolStr, LetIn<'_>> = HashMap::new();
    for found in found {
        let Some(user) = found.row.user.as_ref() else { continue };
        match accounts.get(user) {
            // A report of fraud says more than the sign-in before it.
            Some(known) if known.row.outcome == Some(Outcome::Fraud) || found.row.outcome != Some(Outcome::Fraud) => {}
            Some(_) | None => drop(accounts.insert(user, found)),
        }
    }
    let total = accounts.len();
    let mut found: Vec<LetIn<'_>> = accounts.into_values().collect();
    found.sort_by_key(|found| std::cmp::Reverse(found.row.at));
    let shown = found.into_iter().take(MAX_LISTED);
    let listed: Vec<Value> =
        shown.map(|LetIn { row, why }| json!({ "user": row.user, "id": row.id, "at": row.at, "outcome": row.outcome, "why": why })).collect();
    json!({ "total": total, "listed": listed })
}

/// How many accounts the sign-ins are of.
pub(crate) fn count_accounts(found: &[LetIn<'_>]) -> usize {
    found.iter().filter_map(|found| found.row.user.as_ref()).collect::<HashSet<_>>().len()
}

impl Row {
    /// Whether this reason raised the score.
    pub(crate) fn has_raising_reason(&self, code: Option<Code>) -> bool {
        code.is_some_and(|code| self.reasons.iter().any(|reason| reason.code == code && reason.weight > 0.0))
    }

    fn why_let_in(&self, targets: &Targets<'_>, sources: &Sources, wave: Option<Code>) -> Option<String> {
        if self.outcome == Some(Outcome::Fraud) {
            return Some("reported as fraud".to_owned());
        }
        if self.is_own_device {
            return None;
        }
        if self.has_raising_reason(wave) {
            return Some("it has values of the attack that are new to the account".to_owned());
        }
        let is_unlike_owner = self.score >= MIN_SCORE && !self.is_known_network;
        targets.connection(self, sources, is_unlike_owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn the_accounts_that_a_detected_attack_got_into_are_listed_newest_first() {
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |second: i64, user: &str, (pool, asn, country): (&str, u32, &str), reason: &str, outcome: &str| {
            let time = jiff::Timestamp::from_second(NOW + second).expect("a time");
            let id = format!("{second}-{user}");
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{id}","decision":"review","score":60,"user":"{user}","pool":"{pool}","asn":{asn},"country":"{country}","reasons":[{{"code":"{reason}","weight":2}},{{"code":"known_ip","weight":-1}}]}}"#
            ));
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        };
        let attacker = ("one", 64_500, "VN");
        add(-60, "before", attacker, "attack_wave", "success");
        add(10, "undetected", attacker, "new_asn", "success");
        add(20, "undetected-country", ("one", 64_501, "VN"), "new_country", "success");
        add(30, "taken", attacker, "attack_wave", "success");
        add(40, "taken", attacker, "attack_wave", "fraud");
        add(50, "failed", attacker, "attack_wave", "failure");
        add(60, "proven", attacker, "attack_wave", "not_fraud");
        add(70, "other-pool", ("two", 64_500, "VN"), "attack_wave", "success");
        add(80, "traveller", ("one", 64_502, "FR"), "new_asn", "success");
        add(90, "customer", attacker, "unusual_hour", "success");
        let sources = ["AS64500".into(), "VN".into(), "Firefox on Linux".into()];
        let shown = activity.let_in(DetectedAttack { pool: "one", since: NOW, sources: &sources });
        let users: Vec<&str> = shown["listed"].as_array().into_iter().flatten().filter_map(|account| account["user"].as_str()).collect();
        assert_eq!(users, ["taken", "undetected-country", "undetected"]);
        assert_eq!((&shown["total"], &shown["listed"][0]["outcome"], &shown["listed"][0]["id"]), (&json!(3), &json!("fraud"), &json!("40-taken")));
        (0..40).for_each(|number| {
            let time = jiff::Timestamp::from_second(NOW + 100 + number).expect("a time");
            activity.record(&format!(
                r#"{{"time":"{time}","id":"m{number}","decision":"allow","score":1,"user":"m{number}","pool":"one","reasons":[{{"code":"attack_wave","weight":1}}]}}"#
            ));
            activity.label(&format!("m{number}"), Outcome::Success);
        });
        let many = activity.let_in(DetectedAttack { pool: "one", since: NOW, sources: &sources });
        assert_eq!((&many["total"], many["listed"].as_array().map(Vec::len)), (&json!(43), Some(MAX_LISTED)));
    }

    #[test]
    fn only_sign_ins_that_are_connected_to_attempts_are_of_an_attack() {
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |second: i64, user: &str, (net, asn): (&str, u32), (score, reasons): (f64, &str), outcome: &str| {
            let time = jiff::Timestamp::from_second(NOW + second).expect("a time");
            let (id, device) = (format!("{second}-{user}"), format!("{user}-{net}"));
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{id}","decision":"review","score":{score},"user":"{user}","net":"{net}","asn":{asn},"device":"{device}","reasons":[{reasons}]}}"#
            ));
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        };
        let known = r#"{"code":"known_network","weight":-2}"#;
        (0..1200)
            .for_each(|number| add(number * 3 - 3600, &format!("person-{}", number % 50), (&format!("home-{}", number % 50), 3320), (3.0, known), "success"));
        for number in 0..100 {
            let (asn, net) = (64_500 + number % 2, format!("rented-{}", number % 10));
            add(number.into(), &format!("leaked-{number}"), (&net, asn), (60.0, ""), "failure");
        }
        add(40, "same-network", ("rented-3", 64_501), (5.0, ""), "success");
        add(41, "same-as", ("rented-new", 64_500), (38.8, ""), "success");
        add(42, "owner-of-the-network", ("campus", 64_500), (38.8, known), "success");
        add(43, "owner-at-ease", ("rented-other", 64_500), (4.0, ""), "success");
        add(44, "traveller", ("abroad", 2856), (60.0, ""), "success");
        add(45, "reported", ("elsewhere", 2856), (2.0, ""), "fraud");
        activity.detect_attacks(NOW + 100);
        let attack = activity.ongoing_attack().expect("an attack");
        let found = activity.let_in_by(attack);
        let users: Vec<&str> = found.iter().filter_map(|found| found.row.user.as_deref()).collect();
        assert_eq!(users, ["same-network", "same-as", "reported"]);
        assert_eq!(found[0].why, "from a network with attempts at 10 other accounts");
        assert!(found[1].why.starts_with("from AS64500, with attempts at 50 other accounts"), "{}", found[1].why);
        assert_eq!(count_accounts(&found), 3);
    }
}
