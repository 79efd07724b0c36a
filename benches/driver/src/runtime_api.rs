//! A Lambda runtime API on loopback, for one function: it hands out the next event as soon as the last one is answered.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;

use super::wire::Wire;

/// How long a round, or a start, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API of one function.
pub struct RuntimeApi {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    events: Vec<String>,
}

/// One round's answers.
#[derive(Debug, Default)]
pub struct Round {
    /// Microseconds from the event handed out to the answer read, sorted by arrival.
    pub latencies: Vec<f64>,
    /// Answers that were errors: denials.
    pub errors: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    polled: Option<Instant>,
    due: VecDeque<String>,
    handed_out: Option<Instant>,
    round: Round,
    wanted: usize,
}

impl RuntimeApi {
    /// Starts an API that will hand out these events in turn.
    pub fn start(events: Vec<String>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let api = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&api);
                thread::spawn(move || api.serve(stream));
            }
        });
        Ok(RuntimeApi { address, shared, events })
    }

    /// The moment when the function first asked for an event.
    pub fn first_poll(&self) -> anyhow::Result<Instant> {
        let state = self.shared.until(|state| state.polled.is_some())?;
        Ok(state.polled.unwrap_or_else(Instant::now))
    }

    /// Has the function answer so many events, one after the other.
    pub fn run(&self, count: usize) -> anyhow::Result<Round> {
        {
            let mut state = self.shared.lock();
            state.due = self.events.iter().cycle().take(count).cloned().collect();
            state.wanted = count;
            state.round = Round { latencies: Vec::with_capacity(count), errors: 0 };
        }
        self.shared.changed.notify_all();
        let mut state = self.shared.until(|state| state.round.latencies.len() == state.wanted)?;
        Ok(std::mem::take(&mut state.round))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, condition: impl Fn(&State) -> bool) -> anyhow::Result<std::sync::MutexGuard<'_, State>> {
        let (state, waited) = self.changed.wait_timeout_while(self.lock(), PATIENCE, |state| !condition(state)).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("the function does not answer");
        }
        Ok(state)
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut wire = Wire::new(stream)?;
        while let Some(message) = wire.request()? {
            let arrived = Instant::now();
            if message.head.ends_with("/invocation/next") {
                wire.write(&self.next(arrived))?;
                continue;
            }
            let finished = self.answered(arrived, message.head.ends_with("/error"));
            wire.write(b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"status\":\"OK\"}\n")?;
            if finished {
                self.changed.notify_all();
            }
        }
        Ok(())
    }

    /// The bytes that hand out the next event, once there is one.
    fn next(&self, arrived: Instant) -> Vec<u8> {
        let mut state = self.lock();
        if state.polled.is_none() {
            state.polled = Some(arrived);
            self.changed.notify_all();
        }
        let mut state = self.changed.wait_while(state, |state| state.due.is_empty()).unwrap_or_else(PoisonError::into_inner);
        let event = state.due.pop_front().unwrap_or_default();
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() + 5_000;
        let number = state.due.len();
        let bytes = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-{number:012}\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\nlambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:123456789012:function:bench\r\n\
             lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        );
        state.handed_out = Some(Instant::now());
        bytes.into_bytes()
    }

    /// Notes an answer; says whether it was the last of the round.
    fn answered(&self, arrived: Instant, is_error: bool) -> bool {
        let mut state = self.lock();
        let Some(handed_out) = state.handed_out.take() else { return false };
        state.round.latencies.push(arrived.duration_since(handed_out).as_secs_f64() * 1e6);
        state.round.errors += usize::from(is_error);
        state.round.latencies.len() == state.wanted
    }
}
