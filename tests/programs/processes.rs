//! Two processes of riskgate over one Redis: what they learn at the same time is counted as one after the other would.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::fixtures::{self, HOME, KEY};

struct Sidecar {
    child: Child,
    url: String,
    metrics: String,
}

impl Sidecar {
    fn start(store: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
        command.envs([("RISKGATE_STORE", store), ("RISKGATE_PSEUDONYM_KEY", KEY), ("RISKGATE_TRUSTED_CLIENTS", "web"), ("RISKGATE_STORE_TIMEOUT", "2s")]);
        let child = command.spawn().unwrap();
        let (url, metrics) = (format!("http://127.0.0.1:{port}/2015-03-31/functions/riskgate/invocations"), format!("http://127.0.0.1:{port}/metrics"));
        let sidecar = Sidecar { child, url, metrics };
        for _ in 0..400 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sidecar;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the sidecar does not listen");
    }

    /// The successes that the process learned from.
    async fn learned(&self, client: &reqwest::Client) -> u64 {
        let text = client.get(&self.metrics).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("riskgate_outcomes_total{outcome=\"learned\"} "));
        line.map_or(0, |count| count.parse().unwrap())
    }

    async fn invoke(&self, client: &reqwest::Client, event: &Value) {
        let answer = client.post(&self.url).body(event.to_string()).send().await.unwrap();
        assert!(answer.headers().get("x-amz-function-error").is_none(), "denied");
        let text = answer.text().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *event);
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn two_hundred_sign_ins_twenty_at_once_over_two_processes_are_all_counted() {
    let server = fixtures::redis_server();
    let store = format!("redis://127.0.0.1:{}/0", server.port);
    let sidecars = [Sidecar::start(&store), Sidecar::start(&store)];
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for round in 0..10 {
        let at_once = (0..20).map(|number| {
            let (sidecar, client) = (&sidecars[number % 2], &client);
            async move {
                let mut event = fixtures::pre("ada", "web", fixtures::claims(HOME));
                event["request"]["userAttributes"]["n"] = json!(format!("{round} {number}"));
                sidecar.invoke(client, &event).await;
                event["triggerSource"] = json!("PostAuthentication_Authentication");
                event["request"] = json!({ "userAttributes": { "sub": "sub-ada" } });
                sidecar.invoke(client, &event).await;
            }
        });
        futures_util::future::join_all(at_once).await;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["history", "export", "--pool", "pool", "--sub", "sub-ada"]).env_clear();
    let output = command.envs([("RISKGATE_STORE", store.as_str()), ("RISKGATE_PSEUDONYM_KEY", KEY)]).output().unwrap();
    let export: Value = serde_json::from_slice(&output.stdout).unwrap();
    let record = &export["records"][0];
    // On a busy machine a process may have given up on a write, which then happened or not. What it says it has learned was learned.
    let learned = sidecars[0].learned(&client).await + sidecars[1].learned(&client).await;
    let successes = record["successes"].as_u64().unwrap();
    assert!((learned..=200).contains(&successes) && learned >= 100, "{learned} learned: {record}");
    let values = record["values"].as_array().unwrap();
    assert_eq!(values.len(), 9, "{record}");
    assert!(values.iter().all(|value| value["count"] == successes), "{record}");
    let hours: u64 = record["hours"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!(hours, successes, "{record}");
}
