//! How often each trigger goes to the store, counted at the store.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    super::store::{Changed, Marked, Record, Reply},
    *,
};
use crate::{
    config::Config,
    event::{
        Now, RawEvent,
        cognito::{self, Event},
    },
    evidence::history::{
        attempt::{Admission, Answered, Completeness, Hold, Standing},
        memory::Memory,
    },
};

/// A store that counts its round trips.
#[derive(Debug, Default)]
struct Counted {
    store: Memory,
    reads: AtomicU32,
    writes: AtomicU32,
}

impl Counted {
    fn read(&self) -> &Memory {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.store
    }

    fn write(&self) -> &Memory {
        self.writes.fetch_add(1, Ordering::Relaxed);
        &self.store
    }

    fn taken(&self) -> (u32, u32) {
        (self.reads.swap(0, Ordering::Relaxed), self.writes.swap(0, Ordering::Relaxed))
    }
}

impl Store for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.write().change(key, change, now)
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.write().change_if(key, version, change, now)
    }

    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Counted::read(self).read(key, now)
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.write().replace(key, record, keep, now)
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked> {
        self.write().mark(windows, mark, time)
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.write().claim(key, value, keep, now)
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.write().keep(key, value, keep, now)
    }

    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Counted::read(self).fetch(key, now)
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.write().count(key, limit, keep, now)
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Counted::read(self).list(list, now)
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.write().enlist(list, name, value, until)
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.write().delist(list, name)
    }

    fn note<'a>(&'a self, row: &'a super::super::store::Row, keep: Duration) -> Reply<'a, ()> {
        self.write().note(row, keep)
    }
}

fn event(kind: &str, config: &Config, second: i64) -> Event {
    let text = format!(
        r#"{{"version":"2","triggerSource":"{kind}","userPoolId":"p","userName":"ada","callerContext":{{"clientId":"web"}},
        "request":{{"userAttributes":{{"sub":"s"}},"validationData":{{"ip":"84.208.20.110"}}}},"response":{{}}}}"#
    );
    let raw = RawEvent::new(serde_json::value::RawValue::from_string(text).expect("JSON"));
    cognito::parse(raw, Now::at(Timestamp::from_second(1_800_000_000 + second).expect("a moment")), &config.trust).expect("an event")
}

#[tokio::test]
async fn each_trigger_stays_within_its_round_trips() {
    let (config, _) = Config::read(&BTreeMap::from([("RISKGATE_TRUSTED_CLIENTS".to_owned(), "web".to_owned())]));
    let store = Arc::new(Counted::default());
    let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn Store>, Arc::new(Pseudonyms::random()), &config, Arc::default());
    let answered =
        Answered { admission: Admission::LetIn, standing: Standing::Low, completeness: Completeness::Complete, hold: Hold::None, score: 1, reasons: [0; 4] };
    // The first round also learns that this client reports and mints; from then on each takes what it always takes.
    for round in 0..5_i64 {
        let Event::PreAuthentication(mut sign_in) = event("PreAuthentication_Authentication", &config, round * 3600) else { unreachable!() };
        Arc::make_mut(&mut sign_in).context.nonce = Some(format!("nonce {round}").into());
        let (_, mut ticket) = ledger.begin(&sign_in, &NetworkFacts::default(), &Features::default(), Some(9)).await.expect("memory answers");
        // An instance's first sign-in reads both lists.
        assert_eq!(store.taken(), (1 + u32::from(round == 0), 3), "pre-authentication, lists due, with a nonce");
        ticket.shape = None;
        ledger.conclude(&ticket, "id", answered, sign_in.received.wall).await.expect("memory answers");
        assert_eq!(store.taken(), (0, 1), "the verdict");
        let Event::PostAuthentication(post) = event("PostAuthentication_Authentication", &config, round * 3600 + 1) else { unreachable!() };
        assert_eq!(ledger.succeeded(&post).await.map(|success| success.learned), Ok(Learned::Promoted));
        let extra = u32::from(round == 0);
        // The other list is due when the first was read a second ago.
        let list = u32::from(round > 0);
        assert_eq!(store.taken(), (1 + list, 3 + extra), "post-authentication; it renews its shape, an hour after the last time");
        let Event::PreTokenGeneration(token) = event("TokenGeneration_Authentication", &config, round * 3600 + 2) else { unreachable!() };
        ledger.token(&token).await.expect("memory answers");
        assert_eq!(store.taken(), (1, 1), "token, and that tokens are made here, once in a quarter of an hour");
        let Event::PreTokenGeneration(next) = event("TokenGeneration_Authentication", &config, round * 3600 + 3) else { unreachable!() };
        ledger.token(&next).await.expect("memory answers");
        assert_eq!(store.taken(), (1, 0), "the next token");
    }
}

#[test]
fn addresses_are_written_as_the_formatter_does() {
    for text in ["0.0.0.0", "1.2.3.4", "10.20.30.40", "100.109.110.199", "255.255.255.255", "2001:db8::1"] {
        let ip: std::net::IpAddr = text.parse().expect("an address");
        assert_eq!(super::written(ip), ip.to_string());
    }
}

/// `LEARN=allow` teaches from the record as `begin` read it, and of two sign-ins at once neither is lost.
#[tokio::test]
async fn a_verdict_that_teaches_does_not_read_again() {
    let (config, _) = Config::read(&BTreeMap::from([("RISKGATE_LEARN".to_owned(), "allow".to_owned())]));
    let store = Arc::new(Counted::default());
    let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn Store>, Arc::new(Pseudonyms::random()), &config, Arc::default());
    let answered =
        Answered { admission: Admission::LetIn, standing: Standing::Low, completeness: Completeness::Complete, hold: Hold::None, score: 1, reasons: [0; 4] };
    let Event::PreAuthentication(sign_in) = event("PreAuthentication_Authentication", &config, 0) else { unreachable!() };
    let begin = || async { ledger.begin(&sign_in, &NetworkFacts::default(), &Features::default(), Some(9)).await.expect("memory answers") };
    for round in 0..3 {
        let (first, second) = (begin().await, begin().await);
        assert_eq!((first.0.profile.successes, second.0.profile.successes), (2 * round, 2 * round));
        store.taken();
        for (_, ticket) in [first, second] {
            ledger.conclude(&ticket, "id", answered, sign_in.received.wall).await.expect("memory answers");
        }
        assert_eq!(store.taken().0, 0, "nothing is read");
    }
}
