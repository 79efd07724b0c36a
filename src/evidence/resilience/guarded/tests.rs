//! Adapters that panic, wait and refuse, behind their guards.

use std::{net::IpAddr, sync::atomic::Ordering};

use futures_util::future::join_all;

use super::*;
use crate::{
    config::services::{Own, Send as Sending},
    event::{ClientIp, http},
    evidence::provider::Asking,
};

/// An adapter with a bug.
struct Panicking;

impl Provider for Panicking {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match question.ip.expose() {
                IpAddr::V4(v4) if v4.octets()[3] == 1 => Ok(None),
                IpAddr::V4(_) | IpAddr::V6(_) => std::panic::panic_any("a bug"),
            }
        })
    }
}

fn guarding(provider: Arc<dyn Provider>, face: Face, timeout: Duration, health: &Arc<Health>) -> Guarded {
    let config = ServiceConfig {
        service: Service::Http,
        url: String::new(),
        weight: 1.0,
        timeout,
        connect_timeout: Duration::from_secs(1),
        send: Sending::Ip,
        daily_limit: None,
        key: None,
        own: Own::Nothing,
    };
    let minute = Duration::from_secs(60);
    let cache = CacheConfig { capacity: 10, ttl: minute, stale_for: minute, negative_ttl: minute };
    let adapter = Adapter { provider, sends: Sends::default(), keeping: Keeping::AsSet };
    Guarded::new(&config, adapter, Surroundings { cache, secret: [0; 16], face, health: Arc::clone(health), shared: None })
}

#[tokio::test]
async fn a_panic_in_an_adapter_is_an_outcome_for_everybody_who_waited() {
    for face in [Face::Lambda, Face::Sidecar] {
        let health = Arc::<Health>::default();
        let guarded = guarding(Arc::new(Panicking), face, Duration::from_secs(1), &health);
        let ask = async |ip: &str| {
            let body = format!(r#"{{"user":"ada","ip":"{ip}"}}"#);
            let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, Now::read()).unwrap();
            let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
            guarded.consult(&sign_in, deadline).await.outcome.as_label()
        };
        let outcomes = join_all((0..10).map(|_| ask("8.8.8.8"))).await;
        assert_eq!(outcomes, ["panic"; 10]);
        assert_eq!(health.panics.load(Ordering::Relaxed), 1);
        assert_eq!(ask("8.8.8.1").await, "negative", "the next question is put");
    }
}

/// An adapter whose answers come when the gate lets them.
struct Waiting {
    asked: Arc<std::sync::atomic::AtomicU32>,
    gate: Arc<Semaphore>,
}

impl Provider for Waiting {
    fn ask<'a>(&'a self, _: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.gate.acquire().await.expect("the gate is never closed").forget();
            Ok(Some(Answer::new(crate::evidence::Risk::Score(90.0), smallvec::SmallVec::new())))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waited_out_a_freeze_is_as_old_as_its_question() {
    const TEN_MINUTES: Duration = Duration::from_secs(600);
    let start = Now::read();
    // The clocks of a sign-in: both went on during the freeze, as they do after SIGSTOP.
    let asked_after = |passed: Duration| {
        let body = r#"{"user":"ada","ip":"8.8.8.8"}"#;
        let wall = start.wall + jiff::SignedDuration::try_from(passed).unwrap();
        http::parse(body.as_bytes(), ClientIp::Missing, Now { wall, mono: start.mono + passed }).unwrap()
    };
    for face in [Face::Lambda, Face::Sidecar] {
        let (asked, gate) = (Arc::<std::sync::atomic::AtomicU32>::default(), Arc::new(Semaphore::new(0)));
        let waiting = Waiting { asked: Arc::clone(&asked), gate: Arc::clone(&gate) };
        let guarded = guarding(Arc::new(waiting), face, Duration::from_secs(3600), &Arc::default());
        let begun = Instant::now() - start.mono;
        let sign_in = asked_after(begun);
        let frozen = guarded.consult(&sign_in, Deadline::after(sign_in.received.mono, Duration::from_secs(3600)));
        let thaw = async {
            tokio::task::yield_now().await;
            tokio::time::advance(TEN_MINUTES).await;
            gate.add_permits(1);
        };
        let (frozen, ()) = tokio::join!(frozen, thaw);
        assert_eq!(frozen.outcome, Outcome::Fresh);
        // The cache keeps answers for two minutes in all: what was asked ten minutes ago is kept no longer.
        gate.add_permits(1);
        let sign_in = asked_after(begun + TEN_MINUTES);
        let next = guarded.consult(&sign_in, Deadline::after(sign_in.received.mono, Duration::from_secs(2))).await;
        assert_eq!((next.outcome, asked.load(Ordering::Relaxed)), (Outcome::Fresh, 2), "{face:?}: asked anew");
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_is_reminded_once_a_minute() {
    let lines = Arc::<Mutex<Vec<u8>>>::default();
    let written = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt().with_writer(move || Lines(Arc::clone(&written))).finish();
    let _told_here = tracing::subscriber::set_default(subscriber);
    let guarded = guarding(Arc::new(Panicking), Face::Lambda, Duration::from_secs(1), &Arc::default());
    for second in 0..180 {
        guarded.line.note_account(Some(&Cause::KeyRefused.into()));
        assert_eq!(String::from_utf8_lossy(&lines.lock().unwrap()).lines().count(), 1 + second / 60);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
