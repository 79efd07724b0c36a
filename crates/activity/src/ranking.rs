//! Which values occur most in the selected rows: networks, AS, countries, clients, users, reasons and rules.

use std::collections::HashMap;

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    activity::Activity,
    codes::Code,
    row::{Reporting, Row},
};

/// Values that a ranking lists.
const MAX_LISTED: usize = 12;

/// The counts of one value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) total: u32,
    pub(crate) suspicious: u32,
    pub(crate) stopped: u32,
    pub(crate) failed: u32,
    pub(crate) got_in: u32,
}

/// The rankings of the selected rows.
#[derive(Debug, Default)]
pub(crate) struct Rankings<'a> {
    nets: HashMap<&'a SmolStr, (Tally, Option<Code>, Option<u32>)>,
    asns: HashMap<u32, Tally>,
    countries: ByCode,
    clients: ByCode,
    users: HashMap<&'a SmolStr, Tally>,
    reasons: ByCode,
    rules: ByCode,
}

/// Counts by code: a list, because every row has several codes and a query adds a hundred thousand rows.
#[derive(Debug, Default)]
struct ByCode(Vec<Tally>);

impl ByCode {
    fn add(&mut self, code: Option<Code>, row: &Row, reporting: Reporting) {
        if let Some(index) = code.map(Code::index) {
            if index >= self.0.len() {
                self.0.resize(index + 1, Tally::default());
            }
            if let Some(tally) = self.0.get_mut(index) {
                tally.add(row, reporting);
            }
        }
    }

    /// The codes of the rows.
    fn counts(&self) -> HashMap<Code, Tally> {
        let counted = self.0.iter().enumerate().filter(|(_, tally)| tally.total > 0);
        counted.filter_map(|(index, tally)| Some((Code::at(index)?, *tally))).collect()
    }
}

impl Tally {
    pub(crate) fn add(&mut self, row: &Row, reporting: Reporting) {
        self.total += 1;
        self.suspicious += u32::from(row.is_suspicious(reporting));
        self.stopped += u32::from(row.is_stopped());
        self.failed += u32::from(row.has_failed());
        // A stopped sign-in that was proven right later is among the stopped ones.
        self.got_in += u32::from(!row.is_stopped() && row.got_in());
    }
}

impl<'a> Rankings<'a> {
    pub(crate) fn add(&mut self, row: &'a Row, reporting: Reporting) {
        if let Some(net) = &row.net {
            let (tally, country, asn) = self.nets.entry(net).or_default();
            tally.add(row, reporting);
            (*country, *asn) = (row.country, row.asn);
        }
        if let Some(user) = &row.user {
            self.users.entry(user).or_default().add(row, reporting);
        }
        if let Some(asn) = row.asn {
            self.asns.entry(asn).or_default().add(row, reporting);
        }
        self.countries.add(row.country, row, reporting);
        self.clients.add(row.client, row, reporting);
        self.rules.add(row.decided_by, row, reporting);
        // A reason that lowers the score explains no attack.
        row.reasons.iter().filter(|reason| reason.weight > 0.0).for_each(|reason| self.reasons.add(Some(reason.code), row, reporting));
    }

    /// The rankings as JSON. Users and networks are listed only with `is_identified`.
    pub(crate) fn to_json(&self, activity: &Activity, is_identified: bool) -> Value {
        let codes = &activity.codes;
        let by_code = |counts: &ByCode| ranking(&counts.counts(), |code| json!({ "value": codes.text(*code) }));
        let mut all = json!({
            "asn": ranking(&self.asns, |asn| json!({ "value": asn })),
            "country": by_code(&self.countries),
            "client": by_code(&self.clients),
            "reason": by_code(&self.reasons),
            "decided_by": by_code(&self.rules),
        });
        if is_identified && let Value::Object(members) = &mut all {
            members.insert("user".to_owned(), ranking(&self.users, |user| json!({ "value": user })));
            let nets: HashMap<&SmolStr, Tally> = self.nets.iter().map(|(net, (tally, ..))| (*net, *tally)).collect();
            let place = |net: &&SmolStr| {
                let (_, country, asn) = self.nets.get(*net).copied().unwrap_or_default();
                json!({ "value": net, "country": country.map(|code| codes.text(code)), "asn": asn })
            };
            members.insert("net".to_owned(), ranking(&nets, place));
        }
        all
    }
}

/// The values with the most suspicious sign-ins, then with the most sign-ins.
fn ranking<K: Ord>(counts: &HashMap<K, Tally>, to_json: impl Fn(&K) -> Value) -> Value {
    let mut sorted: Vec<(&K, &Tally)> = counts.iter().collect();
    sorted.sort_unstable_by(|(a_key, a), (b_key, b)| (b.suspicious, b.total).cmp(&(a.suspicious, a.total)).then_with(|| a_key.cmp(b_key)));
    let listed: Vec<Value> = sorted
        .iter()
        .take(MAX_LISTED)
        .map(|(key, tally)| {
            let mut value = to_json(key);
            if let Value::Object(members) = &mut value {
                let Tally { total, suspicious, stopped, failed, got_in } = **tally;
                for (name, count) in [("total", total), ("suspicious", suspicious), ("stopped", stopped), ("failed", failed), ("got_in", got_in)] {
                    members.insert(name.to_owned(), count.into());
                }
            }
            value
        })
        .collect();
    json!({ "values": sorted.len(), "listed": listed })
}
