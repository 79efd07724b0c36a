//! The dashboard's data in ring buffers: ten minutes by the second, and an hour of scores by the minute. It holds no decision of a single user.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::dashboard::{
    TimeBase,
    decision_row::{DecisionLabel, DecisionRow, is_outcome_line},
};
use riskgate_engine::{decision::Verdict, evidence::Tier};
use riskgate_telemetry::{
    latency::{Latency, MergedLatency},
    live_stats::{SCORE_STEPS as STEPS, Snapshot, score_step},
};

/// Seconds that are stored and sent to a new client.
const MAX_SECONDS: usize = 600;

/// Seconds over which a point's percentiles are computed, because a single second may hold only one sign-in.
const PERCENTILE_WINDOW: usize = 10;

/// Seconds over which the panels count.
const PANEL_WINDOW: usize = 60;

/// Minutes over which the what-if slider counts.
const MAX_MINUTES: usize = 60;

/// Annotations that are stored.
const MAX_ANNOTATIONS: usize = 24;

/// A log whose newest line is at most this many seconds old follows the wall clock.
const MAX_LAG_SECONDS: i64 = 120;

/// The ring buffers that the dashboard shows.
#[derive(Debug, Default)]
pub struct RollingStats {
    /// Oldest first, without gaps.
    seconds: VecDeque<Second>,
    minutes: VecDeque<Minute>,
    /// Marks on the charts, oldest first.
    annotations: VecDeque<Annotation>,
    /// The oldest second that changed since the last message.
    oldest_changed: Option<i64>,
    /// Lines that could not be parsed.
    unreadable: u64,
    decided: u64,
}

/// A mark on the charts.
#[derive(Debug)]
struct Annotation {
    /// Counts from 1. The charts show it at the mark.
    number: u64,
    at: i64,
    text: &'static str,
}

/// The counts of one second.
#[derive(Debug, Default)]
struct Second {
    at: i64,
    verdicts: [u32; Verdict::ALL.len()],
    degraded: u32,
    total: Latency,
    parts: BTreeMap<String, Latency>,
    causes: BTreeMap<String, u32>,
    outcomes: BTreeMap<(String, String), u32>,
    caches: BTreeMap<String, u32>,
    reasons: BTreeMap<String, (u32, f64)>,
}

/// The scores of one minute.
#[derive(Debug)]
struct Minute {
    at: i64,
    scores: [u32; STEPS],
    challenged: u32,
    denied: u32,
}

impl RollingStats {
    /// Records a log line. Lines that are not audit lines are counted as unreadable.
    pub fn record(&mut self, line: &str, now: Timestamp) {
        let Some(row) = DecisionRow::parse(line) else {
            self.unreadable += u64::from(!is_outcome_line(line));
            return;
        };
        let at = row.time.as_second().min(now.as_second() + MAX_LAG_SECONDS);
        self.decided += 1;
        self.advance_to(at);
        if let Some(minute) = self.minute(at) {
            minute.scores[score_step(row.score)] += 1;
            minute.challenged += u32::from(row.decision == DecisionLabel::Challenge);
            minute.denied += u32::from(row.decision == DecisionLabel::Deny);
        }
        if let Some(second) = self.second(at) {
            second.add_row(row);
        }
    }

    /// Records what this process counted in one second.
    pub fn record_snapshot(&mut self, snapshot: Snapshot, at: i64) {
        self.decided += snapshot.decided;
        for text in &snapshot.annotations {
            let number = self.annotations.back().map_or(1, |last| last.number + 1);
            push(&mut self.annotations, Annotation { number, at, text }, MAX_ANNOTATIONS);
        }
        self.advance_to(at);
        if let Some(minute) = self.minute(at) {
            minute.scores.iter_mut().zip(snapshot.scores).for_each(|(sum, count)| *sum += count);
            minute.challenged += snapshot.verdicts[Verdict::Challenge as usize];
            minute.denied += snapshot.verdicts[Verdict::Deny as usize];
        }
        if let Some(second) = self.second(at) {
            second.add_snapshot(snapshot);
        }
    }

    /// The message of one tick, with what changed since the last one.
    pub fn tick(&mut self, now: Timestamp, time_base: TimeBase) -> Value {
        let newest = self.seconds.back().map(|second| second.at);
        let now = now.as_second();
        match (time_base, newest) {
            (TimeBase::Wall, _) => self.advance_to(now),
            (TimeBase::Lines, Some(newest)) if now - newest <= MAX_LAG_SECONDS => self.advance_to(now),
            (TimeBase::Lines, _) => {}
        }
        let from = self.oldest_changed.take().unwrap_or(i64::MAX).min(newest.map_or(i64::MIN, |newest| newest + 1 - 2));
        self.message(from)
    }

    /// The first message to a new client, with everything that is stored.
    pub fn state(&self) -> Value {
        self.message(i64::MIN)
    }

    fn message(&self, from: i64) -> Value {
        let skipped = self.seconds.iter().take_while(|second| second.at < from).count();
        let seconds: Vec<Value> = (skipped..self.seconds.len()).map(|index| self.point(index)).collect();
        let mut scores = [0_u32; STEPS];
        let (mut challenged, mut denied) = (0, 0);
        for minute in &self.minutes {
            scores.iter_mut().zip(minute.scores).for_each(|(sum, count)| *sum += count);
            challenged += minute.challenged;
            denied += minute.denied;
        }
        let mut message = self.recent();
        if let Value::Object(members) = &mut message {
            members.insert("seconds".to_owned(), seconds.into());
            members.insert("scores".to_owned(), scores.as_slice().into());
            members.insert("challenged".to_owned(), challenged.into());
            members.insert("denied".to_owned(), denied.into());
            members.insert("decided".to_owned(), self.decided.into());
            members.insert("unreadable".to_owned(), self.unreadable.into());
            members.insert("annotations".to_owned(), self.annotations.iter().map(|mark| json!([mark.number, mark.at, mark.text])).collect());
        }
        message
    }

    /// One point of the charts: time, the verdicts, degraded, p50, p95, p99.
    fn point(&self, index: usize) -> Value {
        let second = &self.seconds[index];
        let window = index.saturating_sub(PERCENTILE_WINDOW - 1)..=index;
        let sum = MergedLatency::of(window.map(|index| &self.seconds[index].total));
        let [allow, review, challenge, deny] = second.verdicts;
        json!([second.at, allow, review, challenge, deny, second.degraded, sum.percentile(0.5), sum.percentile(0.95), sum.percentile(0.99)])
    }

    /// The numbers of the panels, over the last minute.
    fn recent(&self) -> Value {
        let recent = || self.seconds.iter().rev().take(PANEL_WINDOW);
        let percentiles = |sum: &MergedLatency| json!([sum.percentile(0.5), sum.percentile(0.95), sum.percentile(0.99), sum.count()]);
        let mut names: Vec<&str> = recent().flat_map(|second| second.parts.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let mut parts = serde_json::Map::new();
        parts.insert("whole".to_owned(), percentiles(&MergedLatency::of(recent().map(|second| &second.total))));
        for name in names {
            parts.insert(name.to_owned(), percentiles(&MergedLatency::of(recent().filter_map(|second| second.parts.get(name)))));
        }
        let mut causes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut caches: BTreeMap<&str, u32> = BTreeMap::new();
        let mut outcomes: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
        let mut verdicts = [0_u32; Verdict::ALL.len()];
        let mut degraded = 0;
        for second in recent() {
            second.causes.iter().for_each(|(cause, count)| *causes.entry(cause).or_default() += count);
            second.caches.iter().for_each(|(tier, count)| *caches.entry(tier).or_default() += count);
            second.outcomes.iter().for_each(|((service, outcome), count)| *outcomes.entry(service).or_default().entry(outcome).or_default() += count);
            for (reason, (count, weight)) in &second.reasons {
                let sum = reasons.entry(reason).or_default();
                *sum = (sum.0 + count, sum.1 + weight);
            }
            verdicts.iter_mut().zip(second.verdicts).for_each(|(sum, count)| *sum += count);
            degraded += second.degraded;
        }
        let mut latest_outcomes: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for second in recent().take(PERCENTILE_WINDOW) {
            second.outcomes.iter().for_each(|((service, outcome), count)| *latest_outcomes.entry(service).or_default().entry(outcome).or_default() += count);
        }
        latest_outcomes.remove("history");
        let services: BTreeMap<&str, &str> = latest_outcomes.iter().filter_map(|(service, outcomes)| Some((*service, service_state(outcomes)?))).collect();
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by(|(_, (a, _)), (_, (b, _))| b.cmp(a));
        let reasons: Vec<Value> = reasons
            .into_iter()
            .take(12)
            .map(|(code, (count, weight))| json!([code, count, (weight / f64::from(count.max(1)) * 100.0).round() / 100.0]))
            .collect();
        json!({
            "now": self.seconds.back().map(|second| second.at), "parts": parts, "causes": causes, "caches": caches, "outcomes": outcomes, "services": services,
            "reasons": reasons, "verdicts": verdicts, "degraded": degraded,
        })
    }

    /// Extends the buffer up to a second.
    fn advance_to(&mut self, at: i64) {
        let newest = self.seconds.back().map_or(at - 1, |second| second.at);
        for at in newest.max(at - MAX_SECONDS as i64) + 1..=at {
            push(&mut self.seconds, Second { at, ..Second::default() }, MAX_SECONDS);
        }
        // After a gap in time, seconds outside the window are removed as well.
        while self.seconds.front().is_some_and(|second| second.at <= at - MAX_SECONDS as i64) {
            self.seconds.pop_front();
        }
    }

    /// The counts of a second, marked as changed; `None` when the second is not stored.
    fn second(&mut self, at: i64) -> Option<&mut Second> {
        let oldest = self.seconds.front()?.at;
        let second = self.seconds.get_mut(usize::try_from(at - oldest).ok()?)?;
        self.oldest_changed = Some(self.oldest_changed.map_or(at, |oldest| oldest.min(at)));
        Some(second)
    }

    fn minute(&mut self, at: i64) -> Option<&mut Minute> {
        let at = at.div_euclid(60);
        let newest = self.minutes.back().map_or(at - 1, |minute| minute.at);
        if at > newest {
            push(&mut self.minutes, Minute { at, scores: [0; STEPS], challenged: 0, denied: 0 }, MAX_MINUTES);
            while self.minutes.front().is_some_and(|minute| minute.at <= at - MAX_MINUTES as i64) {
                self.minutes.pop_front();
            }
        }
        self.minutes.iter_mut().rev().find(|minute| minute.at == at)
    }
}

impl Second {
    fn add_snapshot(&mut self, snapshot: Snapshot) {
        self.verdicts.iter_mut().zip(snapshot.verdicts).for_each(|(sum, count)| *sum += count);
        self.degraded += snapshot.degraded;
        self.total.add(snapshot.total);
        for (part, times) in snapshot.parts.into_entries().filter(|(_, times)| !times.is_empty()) {
            self.parts.entry(part.to_owned()).or_default().add(times);
        }
        for (cause, count) in snapshot.causes.into_entries().filter(|(_, count)| *count > 0) {
            *self.causes.entry(cause.as_label().to_owned()).or_default() += count;
        }
        for ((source, outcome), count) in snapshot.outcomes.into_entries().filter(|(_, count)| *count > 0) {
            *self.outcomes.entry((source.to_owned(), outcome.as_label().to_owned())).or_default() += count;
        }
        for (tier, count) in snapshot.tiers.into_entries().filter(|(_, count)| *count > 0) {
            *self.caches.entry(tier.map_or("asked", Tier::as_label).to_owned()).or_default() += count;
        }
        for (code, (count, weight)) in snapshot.reasons.into_entries().filter(|(_, (count, _))| *count > 0) {
            let sum = self.reasons.entry(code.as_label().to_owned()).or_default();
            *sum = (sum.0 + count, sum.1 + weight);
        }
    }

    fn add_row(&mut self, row: DecisionRow) {
        let DecisionRow { time: _, decision, score: _, reasons, evidence, degraded, elapsed_ms, took_ms, tiers } = row;
        self.verdicts[decision as usize] += 1;
        self.total.record(elapsed_ms);
        for (part, millis) in took_ms {
            // A source that was not queried took no time and would distort the percentiles.
            if evidence.get(&part).is_none_or(|outcome| outcome != "not_asked") {
                self.parts.entry(part).or_default().record(millis);
            }
        }
        if let Some(degraded) = degraded {
            self.degraded += 1;
            degraded.causes.into_values().for_each(|cause| *self.causes.entry(cause).or_default() += 1);
        }
        for (service, outcome) in evidence {
            if outcome == "not_asked" {
                continue;
            }
            if service != "history" {
                let tier = tiers.get(&service).map_or("asked", String::as_str);
                *self.caches.entry(tier.to_owned()).or_default() += 1;
            }
            *self.outcomes.entry((service, outcome)).or_default() += 1;
        }
        for reason in reasons {
            let sum = self.reasons.entry(reason.code).or_default();
            *sum = (sum.0 + 1, sum.1 + reason.weight);
        }
    }
}

/// A service's state by its latest outcomes: `open` when the breaker rejects more than a third of the queries, `failing` when fewer than half succeed.
/// Answers from a cache are not counted.
fn service_state(outcomes: &BTreeMap<&str, u32>) -> Option<&'static str> {
    let sum = |names: &[&str]| names.iter().filter_map(|name| outcomes.get(name)).sum::<u32>();
    let cached = sum(&["hit", "stale"]);
    let answered = sum(&["fresh", "negative"]);
    let queried = outcomes.values().sum::<u32>() - cached;
    match queried {
        0 if cached == 0 => None,
        _ if sum(&["breaker_open"]) * 3 > queried => Some("open"),
        _ if queried > 0 && answered * 2 < queried => Some("failing"),
        _ => Some("closed"),
    }
}

fn push<T>(buffer: &mut VecDeque<T>, item: T, capacity: usize) {
    if buffer.len() >= capacity {
        buffer.pop_front();
    }
    buffer.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW + second).expect("a time")
    }

    fn line(second: i64, decision: &str, score: f64, more: &str) -> String {
        format!(r#"{{"time":"{}","id":"x{second}","decision":"{decision}","score":{score},"elapsed_ms":2.0{more}}}"#, at(second))
    }

    fn rolling_stats(lines: &[String]) -> RollingStats {
        let mut rolling_stats = RollingStats::default();
        lines.iter().for_each(|line| rolling_stats.record(line, at(0)));
        rolling_stats
    }

    #[test]
    fn scores_are_counted_in_steps_of_half_a_point() {
        let lines: Vec<_> = [(79.9, "review"), (80.0, "deny"), (100.0, "deny"), (0.0, "allow")].map(|(score, decision)| line(0, decision, score, "")).into();
        let message = rolling_stats(&lines).tick(at(0), TimeBase::Wall);
        let at_least = |from: usize| message["scores"].as_array().expect("scores")[from * 2..].iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((at_least(80), at_least(79), at_least(0), &message["denied"]), (2, 3, 4, &json!(2)));
    }

    #[test]
    fn a_tick_sends_changes_and_the_state_sends_everything() {
        let mut rolling_stats = rolling_stats(&[line(-1, "allow", 1.0, ""), line(0, "deny", 99.0, "")]);
        assert_eq!(rolling_stats.tick(at(1), TimeBase::Wall)["decided"], 2);
        let quiet = rolling_stats.tick(at(9), TimeBase::Wall);
        assert!(quiet.get("decisions").is_none(), "an aggregate holds no decision");
        assert!(quiet["seconds"].as_array().is_some_and(|seconds| seconds.len() <= 12), "{}", quiet["seconds"]);
        assert_eq!(rolling_stats.state()["seconds"].as_array().map(Vec::len), Some(11));
    }

    #[test]
    fn annotations_are_numbered_and_bounded() {
        let mut rolling_stats = RollingStats::default();
        for second in 0..40 {
            rolling_stats.record_snapshot(Snapshot { annotations: vec!["a phase"], ..Snapshot::default() }, NOW + second);
        }
        let annotations = rolling_stats.state()["annotations"].clone();
        assert_eq!((annotations.as_array().map(Vec::len), &annotations[0]), (Some(MAX_ANNOTATIONS), &json!([17, NOW + 16, "a phase"])));
    }

    #[test]
    fn an_old_log_is_shown_at_its_own_time() {
        let mut rolling_stats = rolling_stats(&[line(-90_000, "allow", 1.0, ""), line(-89_990, "deny", 99.0, "")]);
        let message = rolling_stats.tick(at(0), TimeBase::Lines);
        assert_eq!((&message["now"], &message["verdicts"]), (&json!(NOW - 89_990), &json!([1, 0, 0, 1])));
    }

    #[test]
    fn the_buffers_stay_bounded_for_any_input() {
        let mut rolling_stats = RollingStats::default();
        for n in 0..20_000 {
            rolling_stats.record(&line(n % 7 * 1_000_000 - 3_000_000, "allow", 1e9, r#","reasons":[{"code":"made-up"}]"#), at(0));
        }
        assert!(rolling_stats.seconds.len() <= MAX_SECONDS && rolling_stats.minutes.len() <= MAX_MINUTES);
        rolling_stats.record("not JSON", at(0));
        rolling_stats.record(r#"{"trigger":"outcome","id":"x","outcome":"failure"}"#, at(0));
        assert_eq!(rolling_stats.unreadable, 1);
    }

    #[test]
    fn a_service_state_follows_its_latest_outcomes() {
        for (outcome, expected) in [("fresh", "closed"), ("stale", "closed"), ("timeout", "failing"), ("http_5xx", "failing"), ("breaker_open", "open")] {
            let lines: Vec<_> = (0..5).map(|_| line(0, "allow", 1.0, &format!(r#","evidence":{{"ipqs":"{outcome}","history":"fresh"}}"#))).collect();
            assert_eq!(rolling_stats(&lines).tick(at(0), TimeBase::Wall)["services"], json!({ "ipqs": expected }), "{outcome}");
        }
    }
}
