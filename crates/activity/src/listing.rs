//! Every value of one kind in the selected rows, with its counts: the complete list behind a ranking, in pages.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    hash::Hash,
};

use serde_json::{Value, json};
use smol_str::{SmolStr, ToSmolStr as _};

use crate::{activity::Activity, codes::Code, filter::Filter, row::Row};

/// The most values of one page.
pub const MAX_LISTED: usize = 200;

/// What is listed. The names are those of the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Networks, by pseudonym.
    Network,
    /// Autonomous systems.
    Asn,
    /// Countries.
    Country,
    /// Accounts, by pseudonym.
    User,
    /// App clients.
    Client,
    /// Reasons that raise the score.
    Reason,
    /// What decided.
    DecidedBy,
}

/// The order of a list, largest first. The default is the number of sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    /// By sign-ins.
    #[default]
    Total,
    /// By sign-ins that got in.
    GotIn,
    /// By sign-ins that were stopped.
    Stopped,
    /// By sign-ins that failed.
    Failed,
    /// By the time of the newest sign-in.
    Last,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListPage {
    /// What is listed.
    pub kind: ListKind,
    /// In which order.
    pub order: ListOrder,
    /// The number of values before the page.
    pub offset: usize,
    /// The most values of the page.
    pub limit: usize,
}

/// The counts of one value.
#[derive(Debug, Clone, Copy, Default)]
struct ValueCounts {
    total: u32,
    got_in: u32,
    stopped: u32,
    failed: u32,
    /// The time of the newest sign-in, in milliseconds since 1970.
    last: i64,
    /// Country and AS of the newest sign-in.
    place: (Option<Code>, Option<u32>),
}

/// A value of a row, small enough to be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum RowValue<'a> {
    Text(&'a SmolStr),
    Number(u32),
    Code(Code),
}

impl ListKind {
    /// The kind of a filter's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "net" => ListKind::Network,
            "asn" => ListKind::Asn,
            "country" => ListKind::Country,
            "user" => ListKind::User,
            "client" => ListKind::Client,
            "reason" => ListKind::Reason,
            "decided_by" => ListKind::DecidedBy,
            _ => return None,
        })
    }

    /// Whether the list names users or networks, which aggregates must not reveal.
    pub fn names_subjects(self) -> bool {
        matches!(self, ListKind::Network | ListKind::User)
    }

    /// Calls `add` with each value of a row.
    fn values<'a>(self, row: &'a Row, mut add: impl FnMut(RowValue<'a>)) {
        let code = |code: Option<Code>| code.map(RowValue::Code);
        let value = match self {
            ListKind::Network => row.net.as_ref().map(RowValue::Text),
            ListKind::User => row.user.as_ref().map(RowValue::Text),
            ListKind::Asn => row.asn.map(RowValue::Number),
            ListKind::Country => code(row.country),
            ListKind::Client => code(row.client),
            ListKind::DecidedBy => code(row.decided_by),
            ListKind::Reason => return row.reasons.iter().filter(|reason| reason.weight > 0.0).for_each(|reason| add(RowValue::Code(reason.code))),
        };
        value.into_iter().for_each(add);
    }
}

impl ListOrder {
    /// The order of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "total" => ListOrder::Total,
            "got_in" => ListOrder::GotIn,
            "stopped" => ListOrder::Stopped,
            "failed" => ListOrder::Failed,
            "last" => ListOrder::Last,
            _ => return None,
        })
    }

    fn key(self, counts: &ValueCounts) -> i64 {
        match self {
            ListOrder::Total => counts.total.into(),
            ListOrder::GotIn => counts.got_in.into(),
            ListOrder::Stopped => counts.stopped.into(),
            ListOrder::Failed => counts.failed.into(),
            ListOrder::Last => counts.last,
        }
    }
}

impl ValueCounts {
    fn add(&mut self, row: &Row) {
        self.total += 1;
        self.got_in += u32::from(row.got_in());
        self.stopped += u32::from(row.is_stopped());
        self.failed += u32::from(row.has_failed());
        if row.at >= self.last {
            (self.last, self.place) = (row.at, (row.country, row.asn));
        }
    }
}

impl Activity {
    /// A page of the values in the selected rows at `now`, in seconds since 1970. Token refreshes are no sign-ins and are left out.
    pub fn values(&self, filter: &Filter, now: i64, page: ListPage) -> Value {
        let selection = self.selection(filter, now);
        let selected = || self.rows.iter().filter(|row| (!row.is_session || filter.selects_sessions()) && selection.matches(row));
        let mut counts: HashMap<RowValue<'_>, ValueCounts> = HashMap::new();
        for row in selected() {
            page.kind.values(row, |value| counts.entry(value).or_default().add(row));
        }
        let mut sorted: Vec<(RowValue<'_>, ValueCounts)> = counts.into_iter().collect();
        let text = |value: &RowValue<'_>| match value {
            RowValue::Text(text) => (*text).clone(),
            RowValue::Number(number) => number.to_smolstr(),
            RowValue::Code(code) => self.codes.text(*code).into(),
        };
        sorted.sort_unstable_by(|(a_value, a), (b_value, b)| {
            let key = |counts: &ValueCounts| Reverse((page.order.key(counts), counts.total));
            key(a).cmp(&key(b)).then_with(|| a_value.cmp(b_value))
        });
        let total = sorted.len();
        let listed: Vec<_> = sorted.into_iter().skip(page.offset).take(page.limit.min(MAX_LISTED)).collect();
        // Known users are counted for the listed values only.
        let mut users: HashMap<RowValue<'_>, HashSet<&SmolStr>> = listed.iter().map(|(value, _)| (*value, HashSet::new())).collect();
        for row in selected().filter(|row| row.got_in()) {
            let Some(user) = &row.user else { continue };
            page.kind.values(row, |value| {
                if let Some(users) = users.get_mut(&value) {
                    users.insert(user);
                }
            });
        }
        let rows: Vec<Value> = listed
            .iter()
            .map(|(value, counts)| {
                let (country, asn) = if page.kind.names_subjects() { counts.place } else { (None, None) };
                json!({
                    "value": text(value), "total": counts.total, "got_in": counts.got_in, "stopped": counts.stopped, "failed": counts.failed,
                    "accounts_in": users.get(value).map_or(0, HashSet::len), "last": counts.last, "country": country.map(|code| self.codes.text(code)), "asn": asn,
                })
            })
            .collect();
        json!({ "total": total, "offset": page.offset, "rows": rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    /// Ten networks: network `n` has `n` sign-ins, of which one got in, and the others are stopped or fail in turns.
    fn activity() -> Activity {
        let mut activity = Activity::new(Counting::Rows);
        for net in 1..=10_usize {
            for number in 0..net {
                let time = jiff::Timestamp::from_second(NOW - 100 + i64::try_from(net).expect("a number")).expect("a time");
                let (decision, outcome) = [("allow", "success"), ("deny", "failure"), ("review", "failure")][if number == 0 { 0 } else { 1 + number % 2 }];
                let id = format!("{net}-{number}");
                activity.record(&format!(
                    r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":50,"user":"u{number}","net":"n{net:02}","asn":{},"country":"DE"}}"#,
                    net % 2
                ));
                activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
            }
        }
        activity
    }

    #[track_caller]
    fn check(kind: &str, order: &str, (offset, limit): (usize, usize), total: usize, expected: &[(&str, u32)]) {
        let page = ListPage { kind: ListKind::from_name(kind).expect("a kind"), order: ListOrder::from_name(order).expect("an order"), offset, limit };
        let list = activity().values(&Filter::last(600), NOW, page);
        let rows: Vec<(&str, Option<u64>)> =
            list["rows"].as_array().into_iter().flatten().map(|row| (row["value"].as_str().unwrap_or("?"), row[order].as_u64())).collect();
        let expected: Vec<(&str, Option<u64>)> = expected.iter().map(|(value, count)| (*value, Some(u64::from(*count)))).collect();
        assert_eq!((list["total"].as_u64(), rows), (Some(total as u64), expected), "{kind} by {order}");
    }

    #[test]
    fn every_value_is_listed_in_pages_of_any_order() {
        check("net", "total", (0, 2), 10, &[("n10", 10), ("n09", 9)]);
        check("net", "total", (8, 5), 10, &[("n02", 2), ("n01", 1)]);
        check("net", "stopped", (0, 2), 10, &[("n10", 4), ("n09", 4)]);
        check("net", "failed", (0, 1), 10, &[("n10", 5)]);
        check("asn", "got_in", (0, 9), 2, &[("0", 5), ("1", 5)]);
        check("user", "got_in", (0, 1), 10, &[("u0", 10)]);
        check("country", "total", (0, 9), 1, &[("DE", 55)]);
        check("client", "total", (0, 9), 0, &[]);
    }

    #[test]
    fn known_users_and_the_place_of_a_network_are_listed_and_filters_apply() {
        let page = ListPage { kind: ListKind::Network, order: ListOrder::Last, offset: 0, limit: 3 };
        let filter = Filter::parse([("range", "10m"), ("outcome", "failed"), ("asn", "1")]).expect("a filter");
        let list = activity().values(&filter, NOW, page);
        assert_eq!(
            (&list["total"], &list["rows"][0]["value"], &list["rows"][0]["failed"], &list["rows"][0]["got_in"]),
            (&json!(4), &json!("n09"), &json!(4), &json!(0))
        );
        let all = activity().values(&Filter::last(600), NOW, page);
        assert_eq!((&all["rows"][0]["accounts_in"], &all["rows"][0]["country"], &all["rows"][0]["asn"]), (&json!(1), &json!("DE"), &json!(0)));
    }
}
