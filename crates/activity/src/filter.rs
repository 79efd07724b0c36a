//! Which rows a query selects: a time range, and values that combine. The same names stand in the page's URL.

use smol_str::SmolStr;

use crate::{
    codes::{Code, Codes},
    decision::{Decision, Outcome},
    row::Row,
    session::SessionJudgement,
};

/// The ranges that can be chosen: name and seconds.
pub const RANGES: [(&str, i64); 6] = [("10m", 600), ("1h", 3600), ("6h", 6 * 3600), ("24h", 86_400), ("7d", 7 * 86_400), ("30d", 30 * 86_400)];

/// Outcomes that can be chosen together: sign-ins that got in, those that failed without being stopped, and those without an outcome.
const OUTCOME_GROUPS: [&str; 3] = ["got_in", "failed", "none"];

/// The longest range between two chosen times, in seconds.
const MAX_SECONDS: i64 = 30 * 86_400;

/// Longest value of a filter, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// A filter. An absent value selects every row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The length of the range in seconds.
    pub seconds: i64,
    /// The start of the range in seconds since 1970. It replaces the length.
    pub from: Option<i64>,
    /// The end of the range in seconds since 1970; now when absent.
    pub until: Option<i64>,
    decision: Option<&'static str>,
    outcome: Option<&'static str>,
    session: Option<&'static str>,
    is_degraded: bool,
    /// The start of an attack in seconds since 1970: only its attempts, and what it got in with.
    pub(crate) attack: Option<i64>,
    asn: Option<u32>,
    country: Option<SmolStr>,
    client: Option<SmolStr>,
    reason: Option<SmolStr>,
    decided_by: Option<SmolStr>,
    net: Option<SmolStr>,
    user: Option<SmolStr>,
    device: Option<SmolStr>,
}

/// A filter that is not valid. The message names the parameter and what it accepts, and never quotes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadFilter(pub &'static str);

/// A filter with the numbers of its texts; `None` where a text occurs in no row.
pub(crate) struct Matcher<'a> {
    filter: &'a Filter,
    country: Option<Option<Code>>,
    client: Option<Option<Code>>,
    reason: Option<Option<Code>>,
    decided_by: Option<Option<Code>>,
    from: i64,
    to: i64,
}

impl Filter {
    /// Every row of the last `seconds`.
    pub fn last(seconds: i64) -> Self {
        Filter { seconds, ..Filter::default() }
    }

    /// Reads the parameters of a URL. Parameters of other purposes are skipped.
    ///
    /// # Errors
    ///
    /// A value is not one of those that its parameter accepts.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadFilter> {
        let mut filter = Filter::last(3600);
        for (name, value) in parameters {
            if value.is_empty() {
                continue;
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(BadFilter("a value has at most 256 bytes"));
            }
            match name {
                "range" => {
                    let found = RANGES.iter().find(|(name, _)| *name == value);
                    filter.seconds = found.ok_or(BadFilter("range must be 10m, 1h, 6h, 24h, 7d or 30d"))?.1;
                }
                "from" => filter.from = Some(value.parse().map_err(|_| BadFilter("from must be seconds since 1970"))?),
                "until" => filter.until = Some(value.parse().map_err(|_| BadFilter("until must be seconds since 1970"))?),
                "decision" => {
                    let found = Decision::ALL.into_iter().map(Decision::as_label).find(|label| *label == value);
                    filter.decision = Some(
                        found
                            .or_else(|| (value == "stopped").then_some("stopped"))
                            .ok_or(BadFilter("decision must be allow, review, challenge, deny or stopped"))?,
                    );
                }
                "outcome" => {
                    let labels = Outcome::ALL.into_iter().map(Outcome::as_label).chain(OUTCOME_GROUPS);
                    filter.outcome =
                        Some(labels.into_iter().find(|label| *label == value).ok_or(BadFilter("outcome must be an outcome, got_in, failed or none"))?);
                }
                "session" => {
                    let found = SessionJudgement::FILTERS.into_iter().find(|label| *label == value);
                    filter.session = Some(found.ok_or(BadFilter("session must be verified, contradicted, moved, or a result of its judgement"))?);
                }
                "attack" => filter.attack = Some(value.parse().map_err(|_| BadFilter("attack must be the id of an attack"))?),
                "degraded" => filter.is_degraded = value == "1",
                "asn" => filter.asn = Some(value.trim_start_matches("AS").parse().map_err(|_| BadFilter("asn must be a number"))?),
                "country" => filter.country = Some(value.into()),
                "client" => filter.client = Some(value.into()),
                "reason" => filter.reason = Some(value.into()),
                "decided_by" => filter.decided_by = Some(value.into()),
                "net" => filter.net = Some(value.into()),
                "user" => filter.user = Some(value.into()),
                "device" => filter.device = Some(value.into()),
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Whether nothing but the range is chosen, so the rollups can answer.
    pub fn is_range_only(&self) -> bool {
        *self == Filter { seconds: self.seconds, from: self.from, until: self.until, ..Filter::default() }
    }

    /// Whether the range ends with the present.
    pub(crate) fn ends_now(&self) -> bool {
        self.until.is_none()
    }

    /// Makes the range at least so many seconds long.
    pub(crate) fn extend_to(&mut self, seconds: i64) {
        self.seconds = self.seconds.max(seconds);
    }

    /// Whether rows are selected by the judgement of their session.
    pub(crate) fn selects_sessions(&self) -> bool {
        self.session.is_some()
    }

    /// Whether the filter names a user, a device or a network, which aggregates must not reveal.
    pub fn names_subject(&self) -> bool {
        self.user.is_some() || self.device.is_some() || self.net.is_some()
    }

    /// The start and the end of the range in seconds since 1970. The end is exclusive.
    pub fn bounds(&self, now: i64) -> (i64, i64) {
        let to = self.until.unwrap_or(now + 1).min(now + 1).max(0);
        match self.from {
            Some(from) => (from.clamp(to.saturating_sub(MAX_SECONDS), to), to),
            None => (to.saturating_sub(self.seconds), to),
        }
    }

    pub(crate) fn matcher<'a>(&'a self, codes: &Codes, now: i64) -> Matcher<'a> {
        let find = |text: &Option<SmolStr>| text.as_ref().map(|text| codes.find(text));
        let (from, to) = self.bounds(now);
        Matcher {
            filter: self,
            country: find(&self.country),
            client: find(&self.client),
            reason: find(&self.reason),
            decided_by: find(&self.decided_by),
            from: from.saturating_mul(1000),
            to: to.saturating_mul(1000),
        }
    }
}

impl Matcher<'_> {
    /// Whether the row is selected.
    pub(crate) fn matches(&self, row: &Row) -> bool {
        row.at >= self.from && row.at < self.to && self.matches_values(row)
    }

    /// Whether the row has the chosen values, at whatever time.
    pub(crate) fn matches_values(&self, row: &Row) -> bool {
        let filter = self.filter;
        let is = |chosen: Option<Option<Code>>, code: Option<Code>| chosen.is_none_or(|chosen| chosen.is_some() && chosen == code);
        filter.decision.is_none_or(|label| if label == "stopped" { row.is_stopped() } else { row.decision.as_label() == label })
            && filter.outcome.is_none_or(|label| row.has_outcome(label))
            && filter.session.is_none_or(|label| row.session.is_some_and(|session| session.matches(label)))
            && (!filter.is_degraded || row.is_degraded)
            && filter.asn.is_none_or(|asn| row.asn == Some(asn))
            && is(self.country, row.country)
            && is(self.client, row.client)
            && is(self.decided_by, row.decided_by)
            && filter.net.as_ref().is_none_or(|net| row.net.as_ref() == Some(net))
            && filter.user.as_ref().is_none_or(|user| row.user.as_ref() == Some(user))
            && filter.device.as_ref().is_none_or(|device| row.device.as_ref() == Some(device))
            && self.reason.is_none_or(|reason| reason.is_some_and(|reason| row.reasons.iter().any(|found| found.code == reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked_and_values_never_quoted() {
        let filter = Filter::parse([("range", "10m"), ("asn", "AS64500"), ("user", "u1"), ("tab", "decisions"), ("country", "")]).expect("a filter");
        assert_eq!((filter.seconds, filter.asn, filter.is_range_only(), filter.names_subject()), (600, Some(64_500), false, true));
        assert!(Filter::last(60).is_range_only());
        for pair in [("range", "1y"), ("asn", "ten"), ("decision", "<b>"), ("outcome", "x"), ("until", "now"), ("from", "then"), ("user", &"x".repeat(300))] {
            let error = Filter::parse([pair]).expect_err("refused");
            assert!(!error.0.contains(pair.1), "{error:?}");
        }
    }

    #[test]
    fn bounds_never_overflow() {
        for until in [i64::MIN, i64::MAX, 0] {
            for from in [None, Some(i64::MIN), Some(i64::MAX)] {
                let filter = Filter { from, until: Some(until), ..Filter::last(30 * 86_400) };
                let (from, to) = filter.bounds(1_800_000_000);
                assert!(from <= to && to.saturating_sub(from) <= MAX_SECONDS);
                let _ = filter.matcher(&Codes::default(), 1_800_000_000);
                let _ = crate::Activity::new(crate::activity::Counting::Rows).summary(&filter, 1_800_000_000, true);
            }
        }
    }

    #[test]
    fn a_range_between_two_times_never_ends_in_the_future() {
        let bounds = |pairs: &[(&str, &str)]| Filter::parse(pairs.iter().copied()).expect("a filter").bounds(1_800_000_000);
        assert_eq!(bounds(&[("range", "6h"), ("from", "1799999000"), ("until", "1799999500")]), (1_799_999_000, 1_799_999_500));
        assert_eq!(bounds(&[("from", "1799999000")]), (1_799_999_000, 1_800_000_001));
        assert_eq!(bounds(&[("from", "1799999000"), ("until", "1800003000")]), (1_799_999_000, 1_800_000_001));
    }
}
