//! What the chart and the tables show of the selected rows: counts over time, marks and rankings.

use serde_json::{Value, json};

use crate::{activity::Activity, changes::ChangeKind, filter::Filter, ranking::Rankings, rollup::Counts, session::SessionCounts};

/// The width of a bucket in seconds for each length of a range.
const WIDTHS: [(i64, i64); 6] = [(600, 5), (3600, 30), (6 * 3600, 120), (86_400, 600), (7 * 86_400, 3600), (30 * 86_400, 6 * 3600)];

impl Activity {
    /// Counts and ranks the selected rows at `now`, in seconds since 1970. Users and networks are named only with `is_identified`.
    pub fn summary(&self, filter: &Filter, now: i64, is_identified: bool) -> Value {
        let (from, to) = self.bounds_of(filter, now);
        let width = WIDTHS.iter().find(|(seconds, _)| to - from <= *seconds + 1).map_or(6 * 3600, |(_, width)| *width);
        let from = from.div_euclid(width) * width;
        let length = usize::try_from((to - from + width - 1) / width).unwrap_or_default();
        let mut counts = vec![Counts::default(); length];
        let (mut all, mut outcomes, mut sessions) = (Counts::default(), [0_u32; 6], SessionCounts::default());
        let mut rankings = Rankings::default();
        let selection = self.selection(filter, now);
        for row in self.rows.iter().filter(|row| selection.matches(row)) {
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
            }
            all = all.plus(one);
            if let Some(outcome) = row.outcome {
                outcomes[outcome as usize] += 1;
            }
            rankings.add(row, self.reporting);
        }
        let mut series: Vec<(i64, Counts)> = (0_i64..).map(|index| from + index * width).zip(counts).collect();
        // Without a filter the exact counts are shown, which also reach further back than the rows.
        if filter.is_range_only()
            && let Some(exact) = self.rollups.buckets(from, to, width)
        {
            series = exact;
            all = series.iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts));
        }
        let covered = self.rows.front().map_or(now, |row| row.at.div_euclid(1000));
        let marks = self.changes.iter().filter(|change| change.at >= from && change.at < to && (is_identified || change.kind != ChangeKind::Action));
        json!({
            "now": now, "from": from, "to": to, "width": width,
            "series": series.iter().map(|(at, counts)| json!([at, counts.decisions[0], counts.decisions[1], counts.decisions[2], counts.decisions[3], counts.degraded])).collect::<Vec<_>>(),
            "decisions": all.decisions, "degraded": all.degraded, "outcomes": outcomes, "sessions": sessions, "total": all.total(),
            "marks": marks.map(|change| json!([change.at, change.describe()])).collect::<Vec<_>>(),
            "rankings": rankings.to_json(self, is_identified),
            "stored": self.rows.len(), "stored_since": covered, "unsampled": self.unsampled, "unreadable": self.unreadable,
            "newest": self.newest(),
            // The state of the attack detector, which an instance adds.
            "detector": Value::Null,
        })
    }
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
        let overview = |wave| {
            let mut activity = activity(wave);
            activity.detect_attacks(NOW);
            activity.overview(NOW, true)
        };
        let attack = &overview(10)["attack"];
        assert_eq!(
            (&attack["kind"], &attack["accounts"], &attack["asns"], &attack["named"][0], &attack["from"]),
            (&json!("credential_stuffing"), &json!(190), &json!(2), &json!({ "asn": 64_501, "attempts": 100, "usual": 0.0 }), &json!(NOW - 10))
        );
        assert_eq!((&attack["attempts"], &attack["stopped"], &attack["got_in"]), (&json!(190), &json!(190), &json!(0)));
        assert_eq!(summary["rankings"]["asn"]["listed"][0]["value"], 64_501);
        assert_eq!(summary["rankings"]["reason"]["values"], 1, "a reason that lowers the score is not ranked");
        assert_eq!(overview(0)["attack"], Value::Null);
        let first = &summary["rankings"]["asn"]["listed"][0];
        assert_eq!(["total", "suspicious", "stopped", "failed", "got_in"].map(|name| first[name].as_u64()), [100, 100, 100, 0, 0].map(Some));
    }

    #[test]
    fn without_identity_no_pseudonym_is_in_the_summary() {
        let mut activity = activity(10);
        activity.detect_attacks(NOW);
        let text = format!("{}{}", activity.summary(&Filter::last(600), NOW, false), activity.overview(NOW, false));
        for pseudonym in ["person-", "leaked-", "n3320", "n64500"] {
            assert!(!text.contains(pseudonym), "{pseudonym}");
        }
    }

    #[test]
    fn an_attack_is_the_same_in_every_range_and_a_filter_by_it_selects_what_is_counted() {
        let mut activity = activity(60);
        let later = NOW + 86_400;
        let time = jiff::Timestamp::from_second(later).expect("a time");
        activity.record(&format!(r#"{{"time":"{time}","id":"later","decision":"allow","score":5,"user":"person-1","asn":3320}}"#));
        activity.detect_attacks(later);
        let overview = activity.overview(later, true);
        let last = &overview["last_attack"];
        assert_eq!((&overview["attack"], &last["kind"], &last["accounts"]), (&Value::Null, &json!("credential_stuffing"), &json!(1140)));
        assert_eq!((&last["from"], &last["to"], &overview["attacks"][0]["attempts"]), (&json!(NOW - 60), &json!(NOW), &json!(1140)));
        let id = last["id"].to_string();
        let filter = |pairs: &[(&str, &str)]| Filter::parse(pairs.iter().copied()).expect("a filter");
        let chosen = activity.summary(&filter(&[("attack", &id), ("range", "10m")]), later, true);
        assert_eq!((&chosen["total"], &chosen["from"], &chosen["to"]), (&json!(1140), &json!(NOW - 60), &json!(NOW)));
        assert_eq!(activity.decisions(&filter(&[("attack", &id), ("asn", "64500")]), later, 0, 1, None)["total"], 540);
        assert_eq!(activity.summary(&filter(&[("attack", "77")]), later, true)["total"], 0);
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
