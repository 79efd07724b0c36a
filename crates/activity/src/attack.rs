//! What is known about attacks: their times and sources, and the state of their detection.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::{
    detector::Detector,
    row::{Reporting, Row},
};

/// An attack. Times are in seconds since 1970.
#[derive(Debug, Clone)]
pub struct Attack {
    /// The first attempt.
    pub from: i64,
    /// The end, exclusive; `None` while it goes on.
    pub to: Option<i64>,
    /// Where it comes from, as far as that is unlike what was usual before; found again with each query while it goes on.
    pub(crate) sources: Sources,
    /// The numbers of the first row in its time, and of the last one if it has ended.
    pub(crate) rows: (u64, Option<u64>),
    /// Its description when it ended, for the time when its rows have been dropped.
    pub(crate) described: Option<Value>,
}

/// What is known about attacks.
#[derive(Debug, Default)]
pub(crate) struct Detection {
    pub(crate) detector: Detector,
    /// The numbers of the rows of minutes that were not taken up.
    pub(crate) pending: BTreeMap<i64, Vec<u64>>,
    pub(crate) late: usize,
    pub(crate) attacks: Vec<Attack>,
    /// An attack in minutes that are not over.
    pub(crate) present: Option<Attack>,
}

/// An AS from which an attack comes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) asn: u32,
    /// Suspicious sign-ins from it.
    pub(crate) attempts: u32,
    /// Those that were usual in such a time.
    pub(crate) usual: f64,
}

/// The sources of an attack, those with the most attempts first. Empty: it comes from anywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    pub(crate) asns: Vec<Source>,
    numbers: HashSet<u32>,
}

impl Detection {
    /// Forgets the rows with lower numbers, which are no longer stored.
    pub(crate) fn forget_before(&mut self, oldest: u64) {
        self.pending.retain(|_, numbers| {
            numbers.retain(|number| *number >= oldest);
            !numbers.is_empty()
        });
    }
}

impl Attack {
    /// Its name in URLs.
    pub(crate) fn id(&self) -> i64 {
        self.from
    }

    /// Whether a row is within its time.
    pub(crate) fn covers(&self, row: &Row) -> bool {
        let at = row.at.div_euclid(1000);
        at >= self.from && self.to.is_none_or(|to| at < to)
    }

    /// Whether a row is an attempt of it.
    pub(crate) fn has_attempt(&self, row: &Row, reporting: Reporting) -> bool {
        !row.is_session && self.covers(row) && row.is_suspicious(reporting) && self.sources.contain(row)
    }
}

impl Sources {
    /// The sources with these AS, in their order.
    pub(crate) fn new(asns: Vec<Source>) -> Self {
        Sources { numbers: asns.iter().map(|source| source.asn).collect(), asns }
    }

    /// Whether an AS is one.
    pub(crate) fn has(&self, asn: u32) -> bool {
        self.numbers.contains(&asn)
    }

    /// Whether a row comes from one.
    pub(crate) fn contain(&self, row: &Row) -> bool {
        self.numbers.is_empty() || row.asn.is_some_and(|asn| self.numbers.contains(&asn))
    }
}
