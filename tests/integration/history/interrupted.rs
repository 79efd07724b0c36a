//! A store that fails in the middle of something: after so many calls, before or after it has done what it was called for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use riskgate_engine::evidence::FailureReason;
use riskgate_store::{
    Change, Changed, CounterBucket, Counters, EntriesByWindow, EntryTime, List, MissingWindow, Record, Reply, Store, WindowEntry,
    activity::{ActivityBatch, ActivityRange, ActivityRow},
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
    /// The next call of this name waits: it reports that it does, and continues when it is released.
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
                Some(Fault::Refused) => Err(FailureReason::Connect),
                Some(Fault::AnswerLost) => answer.await.and(Err(FailureReason::Connect)),
                Some(Fault::Frozen) => std::future::pending().await,
            }
        })
    }
}

impl Store for Interrupted {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn never_shortens_ttl(&self) -> bool {
        self.store.never_shortens_ttl()
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("update", Box::pin(async move { self.store.update(key, change, now).await }))
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("update", Box::pin(async move { self.store.update_if_field(key, field, change, now).await }))
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.answer("update_if_version", Box::pin(async move { self.store.update_if_version(key, version, change, now).await }))
    }

    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("get_record", self.store.get_record(key, now))
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("replace", Box::pin(async move { self.store.replace(key, record, ttl, now).await }))
    }

    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow> {
        self.answer("add_to_window", Box::pin(async move { self.store.add_to_window(windows, entry, missing, time).await }))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.answer("put_if_absent", Box::pin(async move { self.store.put_if_absent(key, value, ttl, now).await }))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("put", Box::pin(async move { self.store.put(key, value, ttl, now).await }))
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.answer("increment_up_to", Box::pin(async move { self.store.increment_up_to(key, limit, ttl, now).await }))
    }

    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        self.answer("get", self.store.get(key, now))
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64> {
        self.answer("add_to_counters", Box::pin(async move { self.store.add_to_counters(bucket, increments, ttl, now).await }))
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        self.answer("read_counters", self.store.read_counters(key, from, to, now))
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        self.answer("list_entries", self.store.list_entries(list, now))
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.answer("put_list_entry", Box::pin(async move { self.store.put_list_entry(list, name, value, until).await }))
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.answer("delete_list_entry", Box::pin(async move { self.store.delete_list_entry(list, name).await }))
    }

    fn has_activity(&self) -> bool {
        self.store.has_activity()
    }

    fn put_activity<'a>(&'a self, batch: &'a ActivityBatch, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("put_activity", Box::pin(async move { self.store.put_activity(batch, ttl, now).await }))
    }

    fn read_activity_of<'a>(&'a self, user: &'a str, range: ActivityRange, now: Timestamp) -> Reply<'a, Vec<ActivityRow>> {
        self.answer("read_activity_of", self.store.read_activity_of(user, range, now))
    }

    fn delete_activity<'a>(&'a self, row: &'a ActivityRow) -> Reply<'a, ()> {
        self.answer("delete_activity", Box::pin(async move { self.store.delete_activity(row).await }))
    }
}
