//! A Redis that refuses what riskgate needs is named at start, by the check and in `/readyz`; one that allows just that is not.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    fixtures::{KEY, Server, free_port, redis_server, redis_server_with},
    process::Process,
    runtime_api::{Answer, Environment},
};

/// The rules of docs/STORE.md, for a user whose password is `p`.
fn rules() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/STORE.md")).unwrap();
    let (_, rest) = page.split_once("An ACL has to allow").unwrap();
    let (list, _) = rest.split_once(". Entries").unwrap();
    let names = list.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("riskgate"));
    let commands = names.map(|name| format!("+{}", name.to_lowercase().replace(' ', "|")));
    ["on", ">p", "~riskgate:*", "-@all"].map(str::to_owned).into_iter().chain(commands).collect()
}

async fn allow(server: &Server, rules: &[String]) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("ACL").arg("SETUSER").arg("riskgate").arg(rules).query_async(&mut connection).await.unwrap();
}

/// What a Lambda environment logs at start, and what its check reports about the store.
async fn started(server: &Server, user: &str) -> (String, Value) {
    started_with(&format!("redis://{user}127.0.0.1:{}/0", server.port)).await
}

/// Started again if a busy machine delayed the server's answer beyond the timeout.
async fn started_with(url: &str) -> (String, Value) {
    let mut last = started_once(url).await;
    for _ in 0..20 {
        if last.1["failing"]["store"] != "timeout" {
            break;
        }
        last = started_once(url).await;
    }
    last
}

async fn started_once(url: &str) -> (String, Value) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let variables = [("STORE", url), ("PSEUDONYM_KEY", KEY), ("STORE_TIMEOUT", "2s"), ("CONNECT_TIMEOUT", "2s"), ("BUDGET", "2900ms")];
    let lambda = Environment::start_with_output(&variables, Stdio::null(), log.reopen().unwrap().into()).await;
    lambda.set_deadline(Some(Duration::from_secs(10)));
    let Answer::Event(check) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
    lambda.settled().await;
    let check: Value = serde_json::from_str(&check).unwrap();
    (std::fs::read_to_string(log.path()).unwrap(), check["store"].clone())
}

#[tokio::test]
async fn the_commands_that_the_documented_acl_allows_are_enough() {
    let server = redis_server();
    allow(&server, &rules()).await;
    let (log, store) = started(&server, "riskgate:p@").await;
    assert!(!log.contains("refuse"), "{log}");
    assert_eq!(store, serde_json::json!({ "failing": {}, "problem": null }));
}

#[tokio::test]
async fn a_command_that_the_acl_refuses_is_named_at_start_and_by_the_check() {
    let server = redis_server();
    allow(&server, &[rules(), vec!["-hgetall".to_owned(), "-zadd".to_owned()]].concat()).await;
    let (log, store) = started(&server, "riskgate:p@").await;
    assert!(log.contains("the server refuses HGETALL, ZADD: the server's ACL"), "{log}");
    assert!(store["problem"].as_str().unwrap().starts_with("the server refuses HGETALL, ZADD: the server's ACL"), "{store}");
    assert_eq!(store["failing"]["store"], "key_refused", "{store}");
}

#[tokio::test]
async fn a_command_that_the_server_does_not_know_is_named_at_start_and_by_the_check() {
    let server = redis_server_with(&["--rename-command", "EXPIRE", ""]);
    let (log, store) = started(&server, "").await;
    assert!(log.contains("the server refuses EXPIRE: the server does not know a command; Redis 6.0 or later"), "{log}");
    assert_eq!(store["failing"]["store"], "no_store", "{store}");
}

/// The sidecar tries again until the server allows everything.
#[tokio::test]
async fn a_cluster_is_named_at_start_and_one_server_with_every_slot_serves() {
    let bus = free_port().to_string();
    let server = redis_server_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let (log, store) = started(&server, "").await;
    assert!(log.contains("Redis Cluster") && store["problem"].as_str().is_some_and(|problem| problem.contains("Redis Cluster")), "{log} {store}");
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16383).query_async(&mut connection).await.unwrap();
    let mut last = (String::new(), Value::Null);
    for _ in 0..50 {
        last = started(&server, "").await;
        if last.1["problem"].is_null() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{last:?}");
}

#[tokio::test]
async fn a_missing_database_and_a_password_that_none_wants_are_named_at_start() {
    let server = redis_server_with(&["--databases", "1"]);
    for (url, word) in [
        (format!("redis://127.0.0.1:{}/5", server.port), "no such database"),
        (format!("redis://:p@127.0.0.1:{}/0", server.port), "password"),
        (format!("redis://ada:p@127.0.0.1:{}/0", server.port), "password"),
    ] {
        let (log, store) = started_with(&url).await;
        assert!(log.contains(word) && store["problem"].as_str().is_some_and(|problem| problem.contains(word)), "{url}: {log} {store}");
    }
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_missing_one_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("redis.sock");
    let path = path.to_str().unwrap();
    let _server = redis_server_with(&["--unixsocket", path]);
    for scheme in ["redis+unix", "unix"] {
        let (log, store) = started_with(&format!("{scheme}://{path}?db=1")).await;
        assert_eq!(store, serde_json::json!({ "failing": {}, "problem": null }), "{log}");
    }
    let (_, store) = started_with(&format!("unix://{path}.missing")).await;
    assert_eq!(store["failing"]["store"], "connect", "{store}");
}

#[tokio::test]
async fn what_the_server_refuses_is_in_readyz_until_it_is_allowed() {
    let server = redis_server();
    allow(&server, &[rules(), vec!["-zadd".to_owned()]].concat()).await;
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
    let url = format!("redis://riskgate:p@127.0.0.1:{}/0", server.port);
    let _sidecar = Process::start(command.envs([("RISKGATE_STORE", url.as_str()), ("RISKGATE_PSEUDONYM_KEY", KEY)]));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let until = async |is_there: bool| {
        for _ in 0..600 {
            let ready = client.get(format!("http://127.0.0.1:{port}/readyz")).send().await;
            let ready: Value = match ready {
                Ok(answer) => serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
                Err(_) => Value::Null,
            };
            let found = ready["degraded"].as_array().and_then(|degraded| degraded.iter().find(|entry| entry["what"] == "store"));
            if ready.is_object() && found.is_some() == is_there {
                return found.cloned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the store is {} in /readyz", if is_there { "not" } else { "still" });
    };
    let entry = until(true).await.unwrap();
    assert_eq!(entry["why"], "key_refused");
    assert!(entry["help"].as_str().unwrap().starts_with("the server refuses ZADD: "), "{entry}");
    allow(&server, &rules()).await;
    until(false).await;
}
