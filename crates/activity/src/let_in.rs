//! The accounts that an attack got into, for an operator to act on.

use std::collections::HashSet;

use serde_json::{Value, json};
use smol_str::{SmolStr, format_smolstr};

use crate::{activity::Activity, codes::Code, decision::Outcome, row::Row};

/// The most accounts that are listed.
const MAX_LISTED: usize = 20;

/// The reasons of a sign-in whose AS, or whose country, was new to its user.
const NEW_ASN: &str = "new_asn";
const NEW_COUNTRY: &str = "new_country";

/// The reason of a sign-in with values of an attack that were new to its user.
const ATTACK_WAVE: &str = "attack_wave";

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

impl Activity {
    /// The accounts that a detected attack got into, as far as their sign-ins are stored: those let in with the reason `attack_wave`, and those let
    /// in from an over-represented AS or country that was new to the user. The latter include the sign-ins before the detection.
    pub fn let_in(&self, attack: DetectedAttack<'_>) -> Value {
        let [wave, asn, country] = [ATTACK_WAVE, NEW_ASN, NEW_COUNTRY].map(|reason| self.codes.find(reason));
        let is_source = |value: &str| attack.sources.iter().any(|source| source == value);
        let is_of_attack = |row: &Row| {
            row.has_raising_reason(wave)
                || row.has_raising_reason(asn) && row.asn.is_some_and(|asn| is_source(&format_smolstr!("AS{asn}")))
                || row.has_raising_reason(country) && row.country.is_some_and(|country| is_source(self.codes.text(country)))
        };
        let pool = |row: &Row| row.pool.map_or("", |pool| self.codes.text(pool));
        list(self.rows.iter().rev().filter(|row| row.at >= attack.since * 1000 && pool(row) == attack.pool && is_of_attack(row)))
    }
}

/// Lists the accounts of the rows that got in, each with its newest sign-in. `rows` are newest first. An account that was proven to be its user's
/// is left out.
pub(crate) fn list<'a>(rows: impl Iterator<Item = &'a Row>) -> Value {
    let mut accounts: HashSet<&SmolStr> = HashSet::new();
    let mut listed = Vec::new();
    for row in rows.filter(|row| row.got_in() && !matches!(row.outcome, Some(Outcome::ChallengePassed | Outcome::NotFraud))) {
        let Some(user) = row.user.as_ref() else { continue };
        if accounts.insert(user) && listed.len() < MAX_LISTED {
            listed.push(json!({ "user": user, "id": row.id, "at": row.at, "outcome": row.outcome }));
        }
    }
    json!({ "total": accounts.len(), "listed": listed })
}

impl Row {
    /// Whether this reason raised the score.
    fn has_raising_reason(&self, code: Option<Code>) -> bool {
        code.is_some_and(|code| self.reasons.iter().any(|reason| reason.code == code && reason.weight > 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn the_accounts_that_an_attack_got_into_are_listed_newest_first() {
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
}
