//! Lambda and the sidecar behind one interface: the same event goes in, and the responses are compared alike.

use std::{fs, path::Path, process::Stdio, sync::Mutex, time::Duration};

use riskgate_runtime::mode::RuntimeMode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    process::SidecarProcess,
    runtime_api::{Answer, Environment},
    sidecar::Sidecar,
    soak::client,
};

/// How much later than its budget a response may arrive at the client of a busy machine. A response that hangs is later.
pub const GRACE: Duration = Duration::from_secs(15);

/// The sidecar's route for Cognito events.
const INVOKE: &str = "/2015-03-31/functions/riskgate/invocations";

/// The longest wait for an audit line. It is written after the response.
const LINE: Duration = Duration::from_secs(5);

/// Lambda or the sidecar, with the file of its audit lines.
pub struct EntryPoint {
    inner: Inner,
    budget: Duration,
    audit: tempfile::NamedTempFile,
    read: Mutex<usize>,
}

enum Inner {
    Lambda(Box<Environment>),
    Sidecar(Sidecar),
    Process(Box<SidecarProcess>, reqwest::Client),
}

/// The response to an event.
#[derive(Debug)]
pub struct InvocationResult {
    /// `allow` where the event came back as it was, `deny` where it did not, `gone` where nothing did.
    pub verdict: &'static str,
    /// How long it took at the client.
    pub took: Duration,
    /// The budget that it had.
    pub budget: Duration,
}

impl InvocationResult {
    /// How much later than the budget it came.
    pub fn late(&self) -> Duration {
        self.took.saturating_sub(self.budget)
    }
}

impl EntryPoint {
    /// Starts one with these variables, including `BUDGET`, and waits until it answers.
    pub async fn open(runtime_mode: RuntimeMode, variables: &[(&str, &str)]) -> Self {
        let (audit, variables) = audited(variables);
        let variables = borrowed(&variables);
        let inner = match runtime_mode {
            RuntimeMode::Lambda => lambda(&variables).await,
            RuntimeMode::Sidecar | RuntimeMode::Command => Inner::Sidecar(Sidecar::start(&variables).await),
        };
        EntryPoint { inner, budget: budget(&variables), audit, read: Mutex::default() }
    }

    /// As `open`, as a separate process, which receives signals.
    pub async fn open_process(runtime_mode: RuntimeMode, variables: &[(&str, &str)]) -> Self {
        let (audit, variables) = audited(variables);
        let variables = borrowed(&variables);
        let inner = match runtime_mode {
            RuntimeMode::Lambda => lambda(&variables).await,
            RuntimeMode::Sidecar | RuntimeMode::Command => Inner::Process(Box::new(SidecarProcess::start(&variables, Stdio::null()).await), client()),
        };
        EntryPoint { inner, budget: budget(&variables), audit, read: Mutex::default() }
    }

    /// Sends an event of any trigger: by the runtime API, or by the sidecar's Invoke API.
    pub async fn send(&self, event: &[u8]) -> InvocationResult {
        self.exchange(event).await.1
    }

    /// As `send`; returns the event that came back too, null if there is none.
    pub async fn exchange(&self, event: &[u8]) -> (Value, InvocationResult) {
        let started = Instant::now();
        let mut returned = Value::Null;
        let (verdict, took) = match &self.inner {
            Inner::Lambda(lambda) => {
                let answered = lambda.invoke(event.to_vec()).await;
                let took = started.elapsed();
                if let Answer::Event(text) = &answered {
                    returned = serde_json::from_str(text).unwrap_or_default();
                }
                let verdict = match answered {
                    Answer::Event(text) if text.as_bytes() == event => "allow",
                    Answer::Event(_) => "changed",
                    Answer::Error(body) if body.contains("SignInDenied") => "deny",
                    Answer::Error(_) | Answer::Gone => "gone",
                };
                (verdict, took)
            }
            Inner::Sidecar(sidecar) => {
                let (status, body) = sidecar.post(INVOKE, event.to_vec()).await;
                let (verdict, took) = (verdict(status, &body, event), started.elapsed());
                if verdict != "deny" {
                    returned = body;
                }
                (verdict, took)
            }
            Inner::Process(sidecar, client) => {
                let url = format!("{}{INVOKE}", sidecar.origin);
                let answered = client.post(url).body(event.to_vec()).send().await;
                let (status, text) = match answered {
                    Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
                    Err(_) => (0, String::new()),
                };
                (verdict(status, &serde_json::from_str(&text).unwrap_or_default(), event), started.elapsed())
            }
        };
        (returned, InvocationResult { verdict, took, budget: self.budget })
    }

    /// Assesses a sign-in by the sidecar's route. Returns the complete assessment.
    pub async fn assess(&self, body: &str) -> (InvocationResult, Value) {
        self.post("/v1/assess", body).await
    }

    /// Calls a route of the sidecar. Returns the complete answer.
    pub async fn post(&self, route: &str, body: &str) -> (InvocationResult, Value) {
        let Inner::Sidecar(sidecar) = &self.inner else { panic!("Lambda has no routes") };
        let started = Instant::now();
        let (status, answer) = sidecar.post(route, body.to_owned()).await;
        let took = started.elapsed();
        let verdict = match (status, answer["decision"].as_str()) {
            (200, Some("allow" | "review")) => "allow",
            (200, Some("deny")) => "deny",
            _ => "gone",
        };
        (InvocationResult { verdict, took, budget: self.budget }, answer)
    }

    /// Sends a signal to the process.
    pub fn signal(&self, name: &str) {
        match &self.inner {
            Inner::Lambda(lambda) => lambda.process.signal(name),
            Inner::Process(sidecar, _) => sidecar.process.signal(name),
            Inner::Sidecar(_) => panic!("it runs inside the test"),
        }
    }

    /// Waits for the process to end; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        match &mut self.inner {
            Inner::Lambda(lambda) => lambda.process.ended().await.code(),
            Inner::Process(sidecar, _) => sidecar.process.ended().await.code(),
            Inner::Sidecar(_) => panic!("it runs inside the test"),
        }
    }

    /// Sets Lambda's deadline for the next invocations. The sidecar's callers send none.
    pub fn set_deadline(&self, deadline: Duration) {
        if let Inner::Lambda(lambda) = &self.inner {
            lambda.set_deadline(Some(deadline));
        }
    }

    /// The audit line of the next sign-in that was decided. Null when none comes.
    pub async fn audited(&self) -> Value {
        let started = Instant::now();
        loop {
            let lines = decided(self.audit.path());
            {
                let mut read = self.read.lock().expect("the count");
                if lines.len() > *read {
                    *read += 1;
                    return lines[*read - 1].clone();
                }
            }
            if started.elapsed() > LINE {
                return Value::Null;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Signs in as a user. Returns the outcome of a source and the verdict: `timeout deny`.
    pub async fn sign_in(&self, user: &str, data: Value, source: &str) -> (String, InvocationResult) {
        let result = self.send(event(user, data).as_bytes()).await;
        let line = self.audited().await;
        let evidence = line["evidence"][source].as_str().unwrap_or("-").to_owned();
        (format!("{evidence} {}", result.verdict), result)
    }
}

async fn lambda(variables: &[(&str, &str)]) -> Inner {
    let lambda = Environment::start(variables).await;
    // The first invocation waits for the process to start, which is not the answer's time.
    lambda.invoke(r#"{"triggerSource":"PreSignUp_SignUp"}"#).await;
    Inner::Lambda(Box::new(lambda))
}

/// The variables, behind a file for audit lines.
fn audited(variables: &[(&str, &str)]) -> (tempfile::NamedTempFile, Vec<(String, String)>) {
    let audit = tempfile::NamedTempFile::new().expect("a file");
    let path = audit.path().to_string_lossy().into_owned();
    let mut all = vec![("AUDIT".to_owned(), path)];
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    (audit, all)
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn budget(variables: &[(&str, &str)]) -> Duration {
    let stated = variables.iter().rfind(|(name, _)| *name == "BUDGET").and_then(|(_, value)| value.strip_suffix("ms")?.parse().ok());
    Duration::from_millis(stated.expect("a budget in ms"))
}

/// How the Invoke API's answer reads.
fn verdict(status: u16, body: &Value, event: &[u8]) -> &'static str {
    match (status, body["errorType"].as_str()) {
        (200, Some("SignInDenied")) => "deny",
        (200, None) if serde_json::from_slice::<Value>(event).is_ok_and(|sent| sent == *body) => "allow",
        (200, _) => "changed",
        _ => "gone",
    }
}

/// A pre-authentication event of a user with this validation data.
pub fn event(user: &str, data: Value) -> String {
    json!({
        "version":"1","triggerSource":"PreAuthentication_Authentication","region":"eu-west-1","userPoolId":"eu-west-1_test","userName":user,
        "callerContext":{"clientId":"web"},"request":{"validationData":data,"userAttributes":{"sub":format!("sub-{user}")}},"response":{}})
    .to_string()
}

/// The audit lines of decided sign-ins, oldest first.
pub fn decided(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("audit lines");
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line.get("evidence").is_some()).collect()
}
