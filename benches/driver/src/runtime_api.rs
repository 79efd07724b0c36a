//! A Lambda runtime API on loopback for one function. It sends the next event as soon as the previous response is received.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;

use super::http_connection::HttpConnection;

/// The longest time of a round or a start.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The API of one function.
pub struct RuntimeApi {
    /// The address of the API.
    pub address: SocketAddr,
    shared: Arc<SharedState>,
    events: Vec<String>,
}

/// The responses of one round.
#[derive(Debug, Default)]
pub struct Round {
    /// Microseconds from the event sent to the response received, in order of arrival.
    pub latencies: Vec<f64>,
    /// The number of error responses. They are denials.
    pub errors: usize,
}

#[derive(Default)]
struct SharedState {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The time of the first request for an event.
    first_poll: Option<Instant>,
    /// The events that are not sent yet.
    queue: VecDeque<String>,
    /// The time at which the pending event was sent.
    sent: Option<Instant>,
    round: Round,
    /// The number of responses that end the round.
    expected: usize,
}

impl RuntimeApi {
    /// Starts an API that sends these events in turn.
    pub fn start(events: Vec<String>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<SharedState>::default();
        let api = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&api);
                thread::spawn(move || api.serve(stream));
            }
        });
        Ok(RuntimeApi { address, shared, events })
    }

    /// Waits for the first request for an event and returns its time.
    pub fn first_poll(&self) -> anyhow::Result<Instant> {
        let state = self.shared.wait_until(|state| state.first_poll.is_some())?;
        Ok(state.first_poll.unwrap_or_else(Instant::now))
    }

    /// Sends `count` events to the function, one after the other, and waits for the responses.
    pub fn run(&self, count: usize) -> anyhow::Result<Round> {
        {
            let mut state = self.shared.lock();
            state.queue = self.events.iter().cycle().take(count).cloned().collect();
            state.expected = count;
            state.round = Round { latencies: Vec::with_capacity(count), errors: 0 };
        }
        self.shared.changed.notify_all();
        let mut state = self.shared.wait_until(|state| state.round.latencies.len() == state.expected)?;
        Ok(std::mem::take(&mut state.round))
    }
}

impl SharedState {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, condition: impl Fn(&State) -> bool) -> anyhow::Result<std::sync::MutexGuard<'_, State>> {
        let (state, waited) = self.changed.wait_timeout_while(self.lock(), TIMEOUT, |state| !condition(state)).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("the function does not respond");
        }
        Ok(state)
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut connection = HttpConnection::new(stream)?;
        while let Some(message) = connection.read_request()? {
            let arrived = Instant::now();
            if message.head.ends_with("/invocation/next") {
                connection.write(&self.next_event(arrived))?;
                continue;
            }
            let finished = self.record_response(arrived, message.head.ends_with("/error"));
            connection.write(b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"status\":\"OK\"}\n")?;
            if finished {
                self.changed.notify_all();
            }
        }
        Ok(())
    }

    /// Waits for the next event and returns the HTTP response with it.
    fn next_event(&self, arrived: Instant) -> Vec<u8> {
        let mut state = self.lock();
        if state.first_poll.is_none() {
            state.first_poll = Some(arrived);
            self.changed.notify_all();
        }
        let mut state = self.changed.wait_while(state, |state| state.queue.is_empty()).unwrap_or_else(PoisonError::into_inner);
        let event = state.queue.pop_front().unwrap_or_default();
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() + 5_000;
        let number = state.queue.len();
        let bytes = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-{number:012}\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\nlambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:123456789012:function:bench\r\n\
             lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        );
        state.sent = Some(Instant::now());
        bytes.into_bytes()
    }

    /// Records a response. Returns whether it was the last of the round.
    fn record_response(&self, arrived: Instant, is_error: bool) -> bool {
        let mut state = self.lock();
        let Some(sent) = state.sent.take() else { return false };
        state.round.latencies.push(arrived.duration_since(sent).as_secs_f64() * 1e6);
        state.round.errors += usize::from(is_error);
        state.round.latencies.len() == state.expected
    }
}
