//! What the page shows, in rings: ten minutes by the second, an hour of scores by the minute, the last hundred decisions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Clock,
    entry::{Entry, Word, tells_outcome},
};
use crate::{
    evidence::Tier,
    telemetry::{
        latency::{Latency, Sum},
        pulse::{Beat, SCORE_STEPS as STEPS, score_step},
    },
};

/// Seconds that are kept, and sent to a page that opens.
const SECONDS: usize = 600;

/// Seconds over which percentiles of the graph are taken: one second alone may hold a single sign-in.
const SMOOTH: usize = 10;

/// Seconds over which the panels count.
const RECENT: usize = 60;

/// Minutes over which the what-if slider counts.
const MINUTES: usize = 60;

/// Decisions that are kept.
const DECISIONS: usize = 100;

/// Decisions in one message: what eyes can follow.
const A_MESSAGE: usize = 20;

/// The wall clock counts for lines that are at most this many seconds behind it.
const CAUGHT_UP: i64 = 120;

/// The rings.
#[derive(Debug, Default)]
pub struct Board {
    /// Oldest first, without gaps.
    seconds: VecDeque<Second>,
    minutes: VecDeque<Minute>,
    decisions: VecDeque<Arc<str>>,
    fresh: VecDeque<Arc<str>>,
    /// The oldest second that changed since the last message.
    changed: Option<i64>,
    /// Lines that are none.
    unreadable: u64,
    decided: u64,
}

/// One second.
#[derive(Debug, Default)]
struct Second {
    at: i64,
    verdicts: [u32; 3],
    degraded: u32,
    whole: Latency,
    parts: BTreeMap<String, Latency>,
    causes: BTreeMap<String, u32>,
    outcomes: BTreeMap<(String, String), u32>,
    caches: BTreeMap<String, u32>,
    reasons: BTreeMap<String, (u32, f64)>,
}

/// One minute of scores.
#[derive(Debug)]
struct Minute {
    at: i64,
    scores: [u32; STEPS],
    denied: u32,
}

impl Board {
    /// Takes in a line of a log; one that is no audit line is counted.
    pub fn record(&mut self, line: &Arc<str>, now: Timestamp) {
        let Some((entry, json)) = Entry::parse(line) else {
            self.unreadable += u64::from(!tells_outcome(line));
            return;
        };
        let at = entry.time.as_second().min(now.as_second() + CAUGHT_UP);
        self.decided += 1;
        self.show(if json.len() == line.len() { Arc::clone(line) } else { json.into() });
        self.turn_to(at);
        if let Some(minute) = self.minute(at) {
            minute.scores[score_step(entry.score)] += 1;
            minute.denied += u32::from(entry.decision == Word::Deny);
        }
        if let Some(second) = self.second(at) {
            second.count(entry);
        }
    }

    /// Takes in what this process counted in a second.
    pub fn take(&mut self, beat: Beat, at: i64) {
        self.decided += beat.decided;
        beat.lines.iter().for_each(|line| self.show(Arc::clone(line)));
        self.turn_to(at);
        if let Some(minute) = self.minute(at) {
            minute.scores.iter_mut().zip(beat.scores).for_each(|(sum, count)| *sum += count);
            minute.denied += beat.verdicts[2];
        }
        if let Some(second) = self.second(at) {
            second.add(beat);
        }
    }

    /// The message of one tick: what changed.
    pub fn tick(&mut self, now: Timestamp, clock: Clock) -> Value {
        let newest = self.seconds.back().map(|second| second.at);
        let now = now.as_second();
        match (clock, newest) {
            (Clock::Wall, _) => self.turn_to(now),
            (Clock::Lines, Some(newest)) if now - newest <= CAUGHT_UP => self.turn_to(now),
            (Clock::Lines, _) => {}
        }
        let from = self.changed.take().unwrap_or(i64::MAX).min(newest.map_or(i64::MIN, |newest| newest + 1 - 2));
        let fresh: Vec<Value> = std::mem::take(&mut self.fresh).iter().map(raw).collect();
        self.message(from, fresh)
    }

    /// The message of a page that opens: everything.
    pub fn state(&self) -> Value {
        self.message(i64::MIN, self.decisions.iter().map(raw).collect())
    }

    fn message(&self, from: i64, decisions: Vec<Value>) -> Value {
        let skipped = self.seconds.iter().take_while(|second| second.at < from).count();
        let seconds: Vec<Value> = (skipped..self.seconds.len()).map(|index| self.point(index)).collect();
        let mut scores = [0_u32; STEPS];
        let mut denied = 0;
        for minute in &self.minutes {
            scores.iter_mut().zip(minute.scores).for_each(|(sum, count)| *sum += count);
            denied += minute.denied;
        }
        let mut message = self.recent();
        if let Value::Object(members) = &mut message {
            members.insert("seconds".to_owned(), seconds.into());
            members.insert("scores".to_owned(), scores.as_slice().into());
            members.insert("denied".to_owned(), denied.into());
            members.insert("decided".to_owned(), self.decided.into());
            members.insert("unreadable".to_owned(), self.unreadable.into());
            members.insert("decisions".to_owned(), decisions.into());
        }
        message
    }

    /// One second of the graphs: time, allow, review, deny, degraded, p50, p95, p99.
    fn point(&self, index: usize) -> Value {
        let second = &self.seconds[index];
        let window = index.saturating_sub(SMOOTH - 1)..=index;
        let sum = Sum::of(window.map(|index| &self.seconds[index].whole));
        let [allow, review, deny] = second.verdicts;
        json!([second.at, allow, review, deny, second.degraded, sum.percentile(0.5), sum.percentile(0.95), sum.percentile(0.99)])
    }

    /// The panels' numbers over the last minute.
    fn recent(&self) -> Value {
        let recent = || self.seconds.iter().rev().take(RECENT);
        let percentiles = |sum: &Sum| json!([sum.percentile(0.5), sum.percentile(0.95), sum.percentile(0.99), sum.count()]);
        let mut names: Vec<&str> = recent().flat_map(|second| second.parts.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let mut parts = serde_json::Map::new();
        parts.insert("whole".to_owned(), percentiles(&Sum::of(recent().map(|second| &second.whole))));
        for name in names {
            parts.insert(name.to_owned(), percentiles(&Sum::of(recent().filter_map(|second| second.parts.get(name)))));
        }
        let mut causes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut caches: BTreeMap<&str, u32> = BTreeMap::new();
        let mut outcomes: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
        let mut verdicts = [0_u32; 3];
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
        let mut of_late: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for second in recent().take(SMOOTH) {
            second.outcomes.iter().for_each(|((service, outcome), count)| *of_late.entry(service).or_default().entry(outcome).or_default() += count);
        }
        of_late.remove("history");
        let services: BTreeMap<&str, &str> = of_late.iter().filter_map(|(service, outcomes)| Some((*service, standing(outcomes)?))).collect();
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

    /// Makes the ring reach up to a second.
    fn turn_to(&mut self, at: i64) {
        let newest = self.seconds.back().map_or(at - 1, |second| second.at);
        for at in newest.max(at - SECONDS as i64) + 1..=at {
            push(&mut self.seconds, Second { at, ..Second::default() }, SECONDS);
        }
        // After a gap the ring holds nothing older than its length.
        while self.seconds.front().is_some_and(|second| second.at <= at - SECONDS as i64) {
            self.seconds.pop_front();
        }
    }

    /// A second that is about to change.
    fn second(&mut self, at: i64) -> Option<&mut Second> {
        let oldest = self.seconds.front()?.at;
        let second = self.seconds.get_mut(usize::try_from(at - oldest).ok()?)?;
        self.changed = Some(self.changed.map_or(at, |changed| changed.min(at)));
        Some(second)
    }

    fn minute(&mut self, at: i64) -> Option<&mut Minute> {
        let at = at.div_euclid(60);
        let newest = self.minutes.back().map_or(at - 1, |minute| minute.at);
        if at > newest {
            push(&mut self.minutes, Minute { at, scores: [0; STEPS], denied: 0 }, MINUTES);
            while self.minutes.front().is_some_and(|minute| minute.at <= at - MINUTES as i64) {
                self.minutes.pop_front();
            }
        }
        self.minutes.iter_mut().rev().find(|minute| minute.at == at)
    }

    fn show(&mut self, json: Arc<str>) {
        push(&mut self.decisions, Arc::clone(&json), DECISIONS);
        push(&mut self.fresh, json, A_MESSAGE);
    }
}

// === impl Second ===

impl Second {
    fn add(&mut self, beat: Beat) {
        self.verdicts.iter_mut().zip(beat.verdicts).for_each(|(sum, count)| *sum += count);
        self.degraded += beat.degraded;
        self.whole.add(beat.whole);
        for (part, times) in beat.parts.each().filter(|(_, times)| !times.is_empty()) {
            self.parts.entry(part.to_owned()).or_default().add(times);
        }
        for (cause, count) in beat.causes.each().filter(|(_, count)| *count > 0) {
            *self.causes.entry(cause.as_label().to_owned()).or_default() += count;
        }
        for ((source, outcome), count) in beat.outcomes.each().filter(|(_, count)| *count > 0) {
            *self.outcomes.entry((source.to_owned(), outcome.as_label().to_owned())).or_default() += count;
        }
        for (tier, count) in beat.tiers.each().filter(|(_, count)| *count > 0) {
            *self.caches.entry(tier.map_or("asked", Tier::as_label).to_owned()).or_default() += count;
        }
        for (code, (count, weight)) in beat.reasons.each().filter(|(_, (count, _))| *count > 0) {
            let sum = self.reasons.entry(code.as_label().to_owned()).or_default();
            *sum = (sum.0 + count, sum.1 + weight);
        }
    }

    fn count(&mut self, entry: Entry) {
        let Entry { time: _, decision, score: _, reasons, evidence, degraded, elapsed_ms, took_ms, tiers } = entry;
        self.verdicts[match decision {
            Word::Allow => 0,
            Word::Review => 1,
            Word::Deny => 2,
        }] += 1;
        self.whole.record(elapsed_ms);
        for (part, millis) in took_ms {
            // What was not asked took no time, and would pull the percentiles to nothing.
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

/// How a service stands, by its outcomes of late: a breaker that is open shows in some, a service that fails in most that are no cache's.
fn standing(outcomes: &BTreeMap<&str, u32>) -> Option<&'static str> {
    let sum = |names: &[&str]| names.iter().filter_map(|name| outcomes.get(name)).sum::<u32>();
    let cached = sum(&["hit", "stale"]);
    let answered = sum(&["fresh", "negative"]);
    let asked = outcomes.values().sum::<u32>() - cached;
    match asked {
        0 if cached == 0 => None,
        _ if sum(&["breaker_open"]) * 3 > asked => Some("open"),
        _ if asked > 0 && answered * 2 < asked => Some("failing"),
        _ => Some("closed"),
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// The line as JSON; it was parsed once already.
fn raw(line: &Arc<str>) -> Value {
    let mut value: Value = serde_json::from_str(line).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.retain(|name, _| name != "_aws" && !name.starts_with("riskgate_"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW + second).expect("a time")
    }

    fn line(second: i64, decision: &str, score: f64, more: &str) -> Arc<str> {
        format!(r#"{{"time":"{}","id":"x{second}","decision":"{decision}","score":{score},"elapsed_ms":2.0{more}}}"#, at(second)).into()
    }

    fn board(lines: &[Arc<str>]) -> Board {
        let mut board = Board::default();
        lines.iter().for_each(|line| board.record(line, at(0)));
        board
    }

    #[test]
    fn the_hour_counts_scores_by_half_points() {
        let lines: Vec<_> = [(79.9, "review"), (80.0, "deny"), (100.0, "deny"), (0.0, "allow")].map(|(score, decision)| line(0, decision, score, "")).into();
        let message = board(&lines).tick(at(0), Clock::Wall);
        let stopped = |from: usize| message["scores"].as_array().expect("scores")[from * 2..].iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((stopped(80), stopped(79), stopped(0), &message["denied"]), (2, 3, 4, &json!(2)));
    }

    #[test]
    fn a_tick_tells_only_what_changed_and_the_state_everything() {
        let mut board = board(&[line(-1, "allow", 1.0, ""), line(0, "deny", 99.0, "")]);
        assert_eq!(board.tick(at(1), Clock::Wall)["decisions"].as_array().map(Vec::len), Some(2));
        let quiet = board.tick(at(9), Clock::Wall);
        assert_eq!(quiet["decisions"], json!([]));
        assert!(quiet["seconds"].as_array().is_some_and(|seconds| seconds.len() <= 12), "{}", quiet["seconds"]);
        assert_eq!(board.state()["decisions"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_log_that_ended_long_ago_is_shown_at_its_own_time() {
        let mut board = board(&[line(-90_000, "allow", 1.0, ""), line(-89_990, "deny", 99.0, "")]);
        let message = board.tick(at(0), Clock::Lines);
        assert_eq!((&message["now"], &message["verdicts"]), (&json!(NOW - 89_990), &json!([1, 0, 1])));
    }

    #[test]
    fn the_rings_stay_bounded_whatever_the_lines_say() {
        let mut board = Board::default();
        for n in 0..20_000 {
            board.record(&line(n % 7 * 1_000_000 - 3_000_000, "allow", 1e9, r#","reasons":[{"code":"made-up"}]"#), at(0));
        }
        assert!(board.seconds.len() <= SECONDS && board.minutes.len() <= MINUTES && board.decisions.len() == DECISIONS);
        board.record(&Arc::from("no json"), at(0));
        board.record(&Arc::from(r#"{"trigger":"outcome","id":"x","outcome":"failure"}"#), at(0));
        assert_eq!(board.unreadable, 1);
    }

    #[test]
    fn a_service_stands_by_what_it_said_of_late() {
        for (outcome, expected) in [("fresh", "closed"), ("stale", "closed"), ("timeout", "failing"), ("http_5xx", "failing"), ("breaker_open", "open")] {
            let lines: Vec<_> = (0..5).map(|_| line(0, "allow", 1.0, &format!(r#","evidence":{{"ipqs":"{outcome}","history":"fresh"}}"#))).collect();
            assert_eq!(board(&lines).tick(at(0), Clock::Wall)["services"], json!({ "ipqs": expected }), "{outcome}");
        }
    }
}
