//! The store as a fleet's second cache tier and common counter: never waited for longer than `STORE_TIMEOUT`, left alone while it is down.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use super::{cache::Entry, deadline::Deadline};
use crate::{
    event::Now,
    evidence::{
        Answer, Cause, Expiry, Risk,
        health::Health,
        history::{
            Patience, Store,
            store::{Mark, MarkTime},
            unread::Part,
        },
    },
};

/// A store that several processes share.
#[derive(Clone)]
pub struct Shared {
    store: Arc<dyn Store>,
    patience: Arc<Patience>,
    health: Arc<Health>,
    timeout: Duration,
}

/// A kept answer as the store holds it; anything else there is no answer.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Stored {
    /// Milliseconds since 1970 at which it was made.
    made: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<Word>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    codes: Vec<SmolStr>,
    /// Milliseconds after `made` at which it ends, by the service's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<u64>,
    /// What holds from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<Box<Said>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Neutral,
    Ban,
    Review,
}

// === impl Shared ===

impl Shared {
    /// A shared store under its own limits.
    pub fn new(store: Arc<dyn Store>, patience: Arc<Patience>, health: Arc<Health>, timeout: Duration) -> Self {
        Shared { store, patience, health, timeout }
    }

    /// An answer that some process has kept.
    pub(super) async fn fetch(&self, key: u128, now: Now) -> Option<Entry> {
        let bytes = self.within(self.store.fetch(&name(key), now.wall)).await??;
        Stored::read(&bytes, now)
    }

    /// Keeps an answer for every process.
    pub(super) async fn keep(&self, key: u128, answer: Option<&Answer>, now: Now, keep: Duration) {
        let bytes = Stored::of(answer, now.wall).to_bytes();
        // Another process asks the service itself then; the failure is reported.
        self.within(self.store.keep(&name(key), &bytes, keep, now.wall)).await.unwrap_or_default();
    }

    /// Whether this process is the first to ask a question, so that the others may wait for its answer. `None` when the store does not say.
    pub(super) async fn is_first(&self, key: u128, keep: Duration, now: Now) -> Option<bool> {
        let own = rand::random::<u64>().to_be_bytes();
        let kept = self.within(self.store.claim(&format!("asking:{key:032x}"), &own, keep, now.wall)).await?;
        Some(kept == own)
    }

    /// Counts one more under a key unless `limit` were counted; whether it was. `None` when the store does not say.
    pub(super) async fn count(&self, key: &str, limit: u64, keep: Duration, now: Now) -> Option<bool> {
        self.within(self.store.count(key, limit, keep, now.wall)).await
    }

    /// Notes that something was asked on a person's behalf; how many different ones were in the last hour.
    pub(super) async fn note(&self, person: u128, what: u64, now: Now) -> Option<usize> {
        let [a, b, c, d, e, f, g, h] = what.to_be_bytes();
        let mark = Mark { account: u32::from_be_bytes([a, b, c, d]), host: u32::from_be_bytes([e, f, g, h]) };
        let (window, time) = ([format_smolstr!("asked:{person:032x}")], MarkTime { at: now.wall, now: now.wall });
        self.within(self.store.mark(&window, mark, time)).await.map(|marked| marked.first().map_or(0, |marks| marks.len()))
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, Cause>>) -> Option<T> {
        let now = Instant::now();
        let permit = self.patience.admit(now)?;
        let answer = Deadline::after(now, self.timeout).run(call).await.unwrap_or(Err(Cause::Timeout));
        match &answer {
            // One value that cannot be read says nothing of the others.
            Ok(_) | Err(Cause::BadAnswer | Cause::TooLarge) => self.patience.succeed(permit),
            Err(_) => self.patience.fail(permit, Instant::now()),
        }
        self.health.store.report(Part::SharedCache, answer.as_ref().err().copied(), now);
        answer.ok()
    }
}

fn name(key: u128) -> String {
    format!("answer:{key:032x}")
}

// === impl Stored ===

impl Stored {
    fn of(answer: Option<&Answer>, made: Timestamp) -> Self {
        let said = answer.map(Said::of);
        Stored { made: made.as_millisecond(), said }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an answer is JSON")
    }

    fn read(bytes: &[u8], now: Now) -> Option<Entry> {
        let Stored { made, said } = serde_json::from_slice(bytes).ok()?;
        let answer = match said {
            None => None,
            Some(said) => Some(said.into_answer()?),
        };
        let wall = Timestamp::from_millisecond(made).ok()?;
        // Another process's clock: what it dates in the future was made now.
        let age = Duration::try_from(now.wall.duration_since(wall)).unwrap_or_default();
        Some(Entry::new(answer, Now { wall, mono: now.mono.checked_sub(age).unwrap_or(now.mono) }))
    }
}

// === impl Said ===

impl Said {
    fn of(answer: &Answer) -> Self {
        let (score, word) = match answer.risk {
            Risk::Score(score) => (Some(score), None),
            Risk::Neutral => (None, Some(Word::Neutral)),
            Risk::Ban => (None, Some(Word::Ban)),
            Risk::Review => (None, Some(Word::Review)),
        };
        let (ends, then) = match &answer.expiry {
            Some(expiry) => (u64::try_from(expiry.after.as_millis()).ok(), expiry.then.as_ref().map(|then| Box::new(Said::of(then)))),
            None => (None, None),
        };
        Said { score, word, codes: answer.codes.to_vec(), ends, then }
    }

    fn into_answer(self) -> Option<Answer> {
        let risk = match (self.score, self.word) {
            (Some(score), None) if (0.0..=100.0).contains(&score) => Risk::Score(score),
            (None, Some(Word::Neutral)) => Risk::Neutral,
            (None, Some(Word::Ban)) => Risk::Ban,
            (None, Some(Word::Review)) => Risk::Review,
            (Some(_) | None, _) => return None,
        };
        let then = self.then.and_then(|then| then.into_answer());
        let expiry = self.ends.map(|ends| Box::new(Expiry { after: Duration::from_millis(ends), then }));
        Some(Answer { risk, codes: self.codes.into(), expiry })
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;

    #[test]
    fn answers_come_back_as_they_were_kept_and_nothing_else_does() {
        let now = Now::read();
        for risk in [Risk::Score(0.0), Risk::Score(87.5), Risk::Neutral, Risk::Ban, Risk::Review] {
            let plain = Answer::new(risk, SmallVec::from_iter(["tor".into(), "a b".into()]));
            let until = |after, then| Some(Box::new(Expiry { after: Duration::from_millis(after), then }));
            let answer = Answer { expiry: until(1_500, Some(Answer { expiry: until(60_000, None), ..plain.clone() })), ..plain.clone() };
            assert_eq!(Stored::read(&Stored::of(Some(&plain), now.wall).to_bytes(), now).expect("an entry").answer(), Some(&plain));
            let read = Stored::read(&Stored::of(Some(&answer), now.wall).to_bytes(), now).expect("an entry");
            assert_eq!(read.answer(), Some(&answer));
        }
        assert_eq!(Stored::read(&Stored::of(None, now.wall).to_bytes(), now).expect("an entry").answer(), None);
        for forged in ["", "7", "{}", r#"{"made":1,"said":{}}"#, r#"{"made":1,"said":{"score":101}}"#, r#"{"made":1,"said":{"score":1e400}}"#] {
            assert!(Stored::read(forged.as_bytes(), now).is_none(), "{forged}");
        }
    }
}
