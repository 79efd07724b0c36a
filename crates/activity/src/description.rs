//! The description of an attack: how many attempts, from where, at whom, and with what success.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{activity::Activity, attack::Attack, codes::Code, decision::Decision, let_in};

/// Sources that are named.
const MAX_NAMED: usize = 3;

/// An attack on more than one account in this many attempts tries leaked passwords; one on fewer accounts guesses.
const STUFFING_ATTEMPTS: u64 = 4;

/// The kind of an attack with so many attempts on so many accounts.
pub fn attack_kind(attempts: u64, accounts: u64) -> &'static str {
    if accounts.saturating_mul(STUFFING_ATTEMPTS) >= attempts { "credential_stuffing" } else { "password_guessing" }
}

impl Activity {
    /// Describes an attack. Accounts are named only with `is_identified`.
    pub(crate) fn describe(&self, attack: &Attack, is_identified: bool) -> Value {
        if let (true, Some(described)) = (self.has_dropped_rows_of(attack), &attack.described) {
            let mut described = described.clone();
            if let (false, Value::Object(members)) = (is_identified, &mut described) {
                members.remove("accounts_let_in");
            }
            return described;
        }
        let (mut attempts, mut stopped, mut failed, mut flagged, mut last) = (0_u64, 0_u32, 0_u32, 0_u32, attack.from);
        let (mut nets, mut users): (HashSet<&SmolStr>, HashSet<&SmolStr>) = (HashSet::new(), HashSet::new());
        let (mut countries, mut clients, mut asns): (ByCode, ByCode, HashSet<u32>) = (HashMap::new(), HashMap::new(), HashSet::new());
        for row in self.rows_of(attack).filter(|row| attack.has_attempt(row, self.reporting)) {
            attempts += 1;
            stopped += u32::from(row.is_stopped());
            failed += u32::from(row.has_failed());
            flagged += u32::from(!row.is_stopped() && row.decision > Decision::Allow);
            last = last.max(row.at.div_euclid(1000));
            nets.extend(&row.net);
            users.extend(&row.user);
            asns.extend(row.asn);
            row.country.iter().for_each(|country| *countries.entry(*country).or_default() += 1);
            row.client.iter().for_each(|client| *clients.entry(*client).or_default() += 1);
        }
        let let_in = self.let_in_by(attack);
        let kind = attack_kind(attempts, users.len() as u64);
        let usual = |usual: f64| (usual * 10.0).round() / 10.0;
        let named: Vec<Value> = attack
            .sources
            .asns
            .iter()
            .take(MAX_NAMED)
            .map(|source| json!({ "asn": source.asn, "attempts": source.attempts, "usual": usual(source.usual) }))
            .collect();
        let mut description = json!({
            "id": attack.id(), "kind": kind, "from": attack.from, "to": attack.to, "last": last, "attempts": attempts, "stopped": stopped, "flagged": flagged,
            "failed": failed, "networks": nets.len(), "asns": asns.len(), "accounts": users.len(), "got_in": let_in::count_accounts(&let_in), "named": named,
            "countries": self.most(&countries), "clients": self.most(&clients),
        });
        if is_identified && let Value::Object(members) = &mut description {
            members.insert("accounts_let_in".to_owned(), let_in::list(let_in));
        }
        description
    }

    /// The most frequent texts.
    fn most(&self, counts: &ByCode) -> Vec<&str> {
        let mut counts: Vec<(Code, u32)> = counts.iter().map(|(code, count)| (*code, *count)).collect();
        counts.sort_unstable_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
        counts.iter().take(MAX_NAMED).map(|(code, _)| self.codes.text(*code)).filter(|text| !text.is_empty()).collect()
    }
}

/// Counts by text.
type ByCode = HashMap<Code, u32>;
