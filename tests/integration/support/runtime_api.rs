//! A Lambda runtime API on loopback, and the binary under it: what Lambda itself does with one environment.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use crate::process::Process;

/// How long an invocation may take before the test gives up; far over any budget.
const PATIENCE: Duration = Duration::from_secs(20);

/// One environment: the binary as Lambda starts it.
pub struct Environment {
    /// Its process.
    pub process: Process,
    invocations: mpsc::Sender<Invocation>,
    deadline: Mutex<Option<Duration>>,
    /// How often the function has requested an event.
    polls: watch::Receiver<u64>,
    invoked: AtomicU64,
}

/// What the function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `/response`.
    Event(String),
    /// `/error`.
    Error(String),
    /// `/init/error`, or the process ended.
    Gone,
}

struct Invocation {
    event: Bytes,
    deadline_ms: u128,
    answer: oneshot::Sender<Answer>,
}

struct Api {
    next: AsyncMutex<mpsc::Receiver<Invocation>>,
    polls: watch::Sender<u64>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
}

impl Environment {
    /// Starts the binary with its own runtime API and only these variables in its environment.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_with_output(variables, Stdio::null(), Stdio::null()).await
    }

    /// As `start`, with standard output (where audit lines go) and standard error of the test's choice.
    pub async fn start_with_output(variables: &[(&str, &str)], stdout: Stdio, stderr: Stdio) -> Self {
        let (invocations, next) = mpsc::channel(64);
        let (polls, polled) = watch::channel(0);
        let api = Arc::new(Api { next: AsyncMutex::new(next), polls, waiting: Mutex::default() });
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_event))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(responded))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .with_state(api);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "riskgate")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            // AWS's own variables, as Lambda sets them, keep their names.
            .envs(variables.iter().map(|(name, value)| (if name.starts_with("AWS_") { (*name).to_owned() } else { format!("RISKGATE_{name}") }, *value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let process = Process::start(&mut command);
        Environment { process, invocations, deadline: Mutex::new(Some(Duration::from_secs(4))), polls: polled, invoked: AtomicU64::new(0) }
    }

    /// Sets the deadline of the next invocations; `None` sends a number that is not a deadline.
    pub fn set_deadline(&self, deadline: Option<Duration>) {
        *self.deadline.lock().expect("the deadline") = deadline;
    }

    /// Invokes the function and waits for its answer.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        let deadline_ms = self.deadline.lock().expect("the deadline").map_or(600_000, |left| now + left.as_millis());
        let invocation = Invocation { event: event.into(), deadline_ms, answer };
        self.invoked.fetch_add(1, Ordering::Relaxed);
        self.invocations.send(invocation).await.expect("the API is up");
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer in time").unwrap_or(Answer::Gone)
    }

    /// Waits until the function requests the event after the last one. Only then is the last one complete, and may Lambda freeze the process.
    pub async fn settled(&self) {
        let invoked = self.invoked.load(Ordering::Relaxed);
        let mut polls = self.polls.clone();
        let polled = polls.wait_for(|polls| *polls > invoked);
        tokio::time::timeout(PATIENCE, polled).await.expect("it requests one in time").expect("the API is up");
    }
}

async fn next_event(State(api): State<Arc<Api>>) -> Response {
    api.polls.send_modify(|polls| *polls += 1);
    let Some(Invocation { event, deadline_ms, answer }) = api.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let id = format!("{:032x}", rand::random::<u128>());
    api.waiting.lock().expect("the waiting").insert(id.clone(), answer);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:riskgate".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-0-0".to_owned()),
        ("content-type", "application/json".to_owned()),
    ] {
        headers.insert(name, value.parse().expect("a header"));
    }
    (headers, event).into_response()
}

async fn responded(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) -> StatusCode {
    api.answer(&id, Answer::Event(body))
}

async fn failed(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) -> StatusCode {
    api.answer(&id, Answer::Error(body))
}

impl Api {
    fn answer(&self, id: &str, answer: Answer) -> StatusCode {
        if let Some(waiting) = self.waiting.lock().expect("the waiting").remove(id) {
            let _ = waiting.send(answer);
        }
        StatusCode::ACCEPTED
    }
}

/// A pre-authentication event of Ada from an address.
pub fn event(ip: &str) -> String {
    serde_json::json!({"version":"1","triggerSource":"PreAuthentication_Authentication","userPoolId":"eu-west-1_test","userName":"ada",
        "request":{"validationData":{"ip":ip},"userAttributes":{}},"response":{}})
    .to_string()
}
