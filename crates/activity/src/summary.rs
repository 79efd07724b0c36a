//! The overview of the selected rows: counts over time, attack periods, marks and rankings.

use serde_json::{Value, json};

use crate::{
    activity::Activity,
    attack::{self, Bucket},
    filter::Filter,
    ranking::Rankings,
    rollup::Counts,
    session::SessionCounts,
};

/// The width of a bucket in seconds for each length of a range.
const WIDTHS: [(i64, i64); 6] = [(600, 5), (3600, 30), (6 * 3600, 120), (86_400, 600), (7 * 86_400, 3600), (30 * 86_400, 6 * 3600)];

/// How long a change is part of the first sentence.
const RECENT_SECONDS: i64 = 86_400;

impl Activity {
    /// Counts and ranks the selected rows at `now`, in seconds since 1970. Users and networks are named only with `is_identified`.
    pub fn summary(&self, filter: &Filter, now: i64, is_identified: bool) -> Value {
        let (from, to) = filter.bounds(now);
        let width = WIDTHS.iter().find(|(seconds, _)| to - from <= *seconds).map_or(6 * 3600, |(_, width)| *width);
        let from = from.div_euclid(width) * width;
        let length = usize::try_from((to - from + width - 1) / width).unwrap_or_default();
        let (mut counts, mut risky) = (vec![Counts::default(); length], vec![Bucket::default(); length]);
        let (mut all, mut outcomes, mut sessions) = (Counts::default(), [0_u32; 6], SessionCounts::default());
        let mut rankings = Rankings::default();
        let matcher = filter.matcher(&self.codes, now);
        for row in self.rows.iter().filter(|row| matcher.matches(row)) {
            if let Some(session) = &row.session {
                sessions.add(session);
            }
            // A token refresh is not a sign-in.
            if row.is_session && !filter.selects_sessions() {
                continue;
            }
            let index = usize::try_from((row.at.div_euclid(1000) - from).div_euclid(width)).ok();
            let one = Counts::one(row.decision, row.is_degraded);
            if let Some(index) = index.filter(|index| *index < length) {
                counts[index] = counts[index].plus(one);
                risky[index].total += 1;
                risky[index].risky += u32::from(row.is_suspect());
            }
            all = all.plus(one);
            if let Some(outcome) = row.outcome {
                outcomes[outcome as usize] += 1;
            }
            rankings.add(row);
        }
        let mut series: Vec<(i64, Counts)> = (0_i64..).map(|index| from + index * width).zip(counts).collect();
        // Without a filter the exact counts are shown, which also reach further back than the rows.
        if filter.is_range_only()
            && let Some(exact) = self.rollups.buckets(from, to, width)
        {
            series = exact;
            all = series.iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts));
        }
        let change = self.marks.iter().rev().find(|mark| mark.at < now + 1 && now - mark.at < RECENT_SECONDS);
        let covered = self.rows.front().map_or(now, |row| row.at.div_euclid(1000));
        // Buckets before the oldest row are no calm time.
        let skipped = usize::try_from((covered - from).div_euclid(width)).unwrap_or_default().min(risky.len());
        let skipped_seconds = width * i64::try_from(skipped).unwrap_or_default();
        let periods = attack::periods(&risky[skipped..], from + skipped_seconds, width);
        let ongoing = self.ongoing_attack(now);
        let periods = ongoing.map_or(periods.clone(), |ongoing| with_ongoing(&periods, ongoing));
        let last = if ongoing.is_none() { self.last_attack(now, from, to, width) } else { None };
        json!({
            "now": now, "from": from, "to": to, "width": width,
            "series": series.iter().map(|(at, counts)| json!([at, counts.decisions[0], counts.decisions[1], counts.decisions[2], counts.decisions[3], counts.degraded])).collect::<Vec<_>>(),
            "decisions": all.decisions, "degraded": all.degraded, "outcomes": outcomes, "sessions": sessions, "total": all.total(),
            "attack": ongoing.map(|period| self.describe(period, is_identified)),
            "last_attack": last.map(|period| self.describe(self.to_the_minute(period), is_identified)),
            "attacks": periods.iter().map(|period| json!([period.from, period.to])).collect::<Vec<_>>(),
            "marks": self.marks.iter().filter(|mark| mark.at >= from && mark.at < to).map(|mark| json!([mark.at, mark.text])).collect::<Vec<_>>(),
            "change": change.map(|mark| json!([mark.at, mark.text])),
            "rankings": rankings.to_json(self, is_identified),
            "stored": self.rows.len(), "stored_since": covered, "unsampled": self.unsampled, "unreadable": self.unreadable,
            "newest": self.newest(),
            // The state of the attack detector, which an instance adds.
            "detector": Value::Null,
        })
    }

    /// The last attack of the range, whatever the filter is, or else of the past six hours.
    fn last_attack(&self, now: i64, from: i64, to: i64, width: i64) -> Option<attack::Period> {
        let oldest = self.rows.front().map_or(now, |row| row.at.div_euclid(1000));
        let last = |from: i64, to, width: i64| {
            let from = from.max(oldest).div_euclid(width) * width;
            attack::periods(&self.buckets(from, to, width), from, width).pop()
        };
        last(from, to, width).or_else(|| last(now - 6 * 3600, now + 1, 60))
    }
}

/// The periods with the ongoing attack as one: gaps between busy buckets are no pause of it.
fn with_ongoing(periods: &[attack::Period], ongoing: attack::Period) -> Vec<attack::Period> {
    let (overlapping, mut others): (Vec<_>, Vec<_>) = periods.iter().copied().partition(|period| period.to >= ongoing.from);
    let from = overlapping.iter().map(|period| period.from).min().map_or(ongoing.from, |from| from.min(ongoing.from));
    let to = overlapping.iter().map(|period| period.to).max().map_or(ongoing.to, |to| to.max(ongoing.to));
    others.push(attack::Period { from, to });
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    /// Ten minutes of people, then a wave from AS64500 and AS64501.
    fn activity(wave: i64) -> Activity {
        let mut activity = Activity::new(Counting::Rows);
        let mut add = |second: i64, number: i64, user: String, asn: i64, decision: &str, outcome: &str| {
            let time = jiff::Timestamp::from_second(NOW - 600 + second).expect("a time");
            let id = format!("{second}-{number}-{user}");
            activity.record(&format!(
                r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":50,"user":"{user}","net":"n{asn}","asn":{asn},"country":"DE","client":"web","reasons":[{{"code":"tor","weight":2}},{{"code":"usual_hour","weight":-2}}]}}"#
            ));
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        };
        for second in 0..600 {
            add(second, 0, format!("person-{}", second % 40), 3320, "allow", if second % 25 == 0 { "failure" } else { "success" });
            if second >= 600 - wave {
                (1..20).for_each(|number| add(second, number, format!("leaked-{second}-{number}"), 64_500 + number % 2, "deny", "failure"));
            }
        }
        activity
    }

    #[test]
    fn a_wave_is_named_within_ten_seconds_and_its_sources_are_ranked() {
        let summary = activity(10).summary(&Filter::last(600), NOW, true);
        let attack = &summary["attack"];
        assert_eq!(
            (&attack["kind"], &attack["accounts"], &attack["asns"], &attack["named"][0]["asn"]),
            (&json!("credential_stuffing"), &json!(190), &json!(2), &json!(64_501))
        );
        assert_eq!(summary["rankings"]["asn"]["listed"][0]["value"], 64_501);
        assert_eq!(summary["rankings"]["reason"]["values"], 1, "a reason that lowers the score is not ranked");
        assert_eq!(activity(0).summary(&Filter::last(600), NOW, true)["attack"], Value::Null);
    }

    #[test]
    fn without_identity_no_pseudonym_is_in_the_summary() {
        let text = activity(10).summary(&Filter::last(600), NOW, false).to_string();
        for pseudonym in ["person-", "leaked-", "n3320", "n64500"] {
            assert!(!text.contains(pseudonym), "{pseudonym}");
        }
    }

    #[test]
    fn an_attack_that_ended_is_described_in_a_range_that_has_it_whatever_the_filter_is() {
        let mut activity = activity(60);
        let later = NOW + 86_400;
        let time = jiff::Timestamp::from_second(later).expect("a time");
        activity.record(&format!(r#"{{"time":"{time}","id":"later","decision":"allow","score":5,"user":"person-1","asn":3320}}"#));
        let last = |filter: &[(&str, &str)]| activity.summary(&Filter::parse(filter.iter().copied()).expect("a filter"), later, true)["last_attack"].clone();
        for filter in [&[("range", "7d")][..], &[("range", "7d"), ("asn", "3320")]] {
            assert_eq!((&last(filter)["kind"], &last(filter)["accounts"]), (&json!("credential_stuffing"), &json!(1140 + 2)), "{filter:?}");
        }
        // To the minute, although the range counts by the hour.
        assert_eq!((&last(&[("range", "7d")])["from"], &last(&[("range", "7d")])["to"]), (&json!(NOW - 60), &json!(NOW)));
        assert_eq!(last(&[("range", "1h")]), Value::Null);
    }

    #[test]
    fn filters_combine() {
        let filter = Filter::parse([("range", "10m"), ("asn", "64500"), ("decision", "deny"), ("country", "DE"), ("reason", "tor")]).expect("a filter");
        let summary = activity(10).summary(&filter, NOW, true);
        assert_eq!((&summary["total"], &summary["decisions"]), (&json!(90), &json!([0, 0, 0, 90])));
        let none = Filter::parse([("country", "FR")]).expect("a filter");
        assert_eq!(activity(10).summary(&none, NOW, true)["total"], 0);
    }
}
