//! A store that fails in the middle of something: after so many calls, before or after it has done what it was called for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use riskgate::evidence::{
    Cause,
    history::{
        Store,
        store::{Change, Changed, List, Mark, MarkTime, Marked, Record, Reply, Row},
    },
};
use smol_str::SmolStr;
use tokio::sync::Notify;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused.
    Refused,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is never answered.
    Frozen,
}

/// Another store, which can be interrupted.
#[derive(Debug)]
pub struct Interrupted {
    store: Arc<dyn Store>,
    /// So many calls are answered; then each fails in this way.
    plan: Mutex<Option<(usize, Fault)>>,
    /// The next call of this name waits: it tells that it does, and goes on when it is let.
    pause: Mutex<Option<(&'static str, Arc<Pause>)>>,
}

/// A call that waits.
#[derive(Debug, Default)]
pub struct Pause {
    pub reached: Notify,
    pub go_on: Notify,
}

impl Interrupted {
    pub fn over(store: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Interrupted { store: Arc::clone(store), plan: Mutex::default(), pause: Mutex::default() })
    }

    /// From the call of this number on, the first being 0, each fails.
    pub fn fail_from(&self, call: usize, fault: Fault) {
        *self.plan.lock().unwrap() = Some((call, fault));
    }

    /// Answers again.
    pub fn recover(&self) {
        *self.plan.lock().unwrap() = None;
    }

    /// Lets the next call of a name wait.
    pub fn pause(&self, call: &'static str) -> Arc<Pause> {
        let pause = Arc::new(Pause::default());
        *self.pause.lock().unwrap() = Some((call, Arc::clone(&pause)));
        pause
    }

    fn answer<'a, T: Send + 'a>(&self, call: &str, answer: Reply<'a, T>) -> Reply<'a, T> {
        let fault = match &mut *self.plan.lock().unwrap() {
            Some((0, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let pause = self.pause.lock().unwrap().take_if(|(name, _)| *name == call).map(|(_, pause)| pause);
        Box::pin(async move {
            if let Some(pause) = pause {
                pause.reached.notify_one();
                pause.go_on.notified().await;
            }
            match fault {
                None => answer.await,
                Some(Fault::Refused) => Err(Cause::Connect),
                Some(Fault::AnswerLost) => answer.await.and(Err(Cause::Connect)),
                Some(Fault::Frozen) => std::future::pending().await,
            }
        })
    }
}

impl Store for Interrupted {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn only_lengthens(&self) -> bool {
        self.store.only_lengthens()
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("change", Box::pin(async move { self.store.change(key, change, now).await }))
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.answer("change_if", Box::pin(async move { self.store.change_if(key, version, change, now).await }))
    }

    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("read", self.store.read(key, now))
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("replace", Box::pin(async move { self.store.replace(key, record, keep, now).await }))
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked> {
        self.answer("mark", Box::pin(async move { self.store.mark(windows, mark, time).await }))
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.answer("claim", Box::pin(async move { self.store.claim(key, value, keep, now).await }))
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("keep", Box::pin(async move { self.store.keep(key, value, keep, now).await }))
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.answer("count", Box::pin(async move { self.store.count(key, limit, keep, now).await }))
    }

    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        self.answer("fetch", self.store.fetch(key, now))
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        self.answer("list", self.store.list(list, now))
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.answer("enlist", Box::pin(async move { self.store.enlist(list, name, value, until).await }))
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.answer("delist", Box::pin(async move { self.store.delist(list, name).await }))
    }

    fn note<'a>(&'a self, row: &'a Row, keep: Duration) -> Reply<'a, ()> {
        self.answer("note", Box::pin(async move { self.store.note(row, keep).await }))
    }

    fn activity<'a>(&'a self, day: &'a str, user: Option<&'a str>) -> Reply<'a, Vec<Row>> {
        self.answer("activity", self.store.activity(day, user))
    }

    fn erase_row<'a>(&'a self, row: &'a Row) -> Reply<'a, ()> {
        self.answer("erase_row", Box::pin(async move { self.store.erase_row(row).await }))
    }
}
