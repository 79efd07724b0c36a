//! `riskgate history` and `riskgate block` on a real Redis that an engine uses too.

use std::{
    process::{Command, Output},
    sync::Arc,
};

use riskgate_store::{Store, redis::Redis};
use secrecy::SecretString;

use crate::fixtures::{self, HOME, KEY, TestEngine, at};

struct CommandLine {
    url: String,
}

impl CommandLine {
    fn run(&self, args: &[&str]) -> Output {
        self.run_with(KEY, args)
    }

    fn run_with(&self, keys: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command.args(args).env_clear().env("RISKGATE_STORE", &self.url).env("RISKGATE_PSEUDONYM_KEY", keys);
        command.output().unwrap()
    }

    #[track_caller]
    fn output(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A Redis, the command line of an operator who uses it, and the store in it.
fn redis() -> (fixtures::Server, CommandLine, Arc<dyn Store>) {
    let server = fixtures::redis_server();
    let command_line = CommandLine { url: format!("redis://127.0.0.1:{}/0", server.port) };
    let store = Redis::open(&SecretString::from(command_line.url.clone()), &[], fixtures::NO_DEADLINE).unwrap();
    (server, command_line, Arc::new(store))
}

#[tokio::test]
async fn an_operator_exports_blocks_and_erases() {
    let (_server, command_line, store) = redis();
    let engine = TestEngine::over(&store, &[]);
    engine.sign_in_daily("ada", 3).await;
    let export = command_line.output(&["history", "export", "--pool", "pool", "--sub", "sub-ada"]);
    let export: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(export["records"][0]["successes"], 3);
    let key = export["records"][0]["key"].as_str().unwrap().to_owned();

    assert_eq!(command_line.output(&["block", "add", "sub", "sub-ada", "--pool", "pool", "--note", "chargeback"]), format!("suspend: {key}\n"));
    assert_eq!(engine.attempt("ada", HOME, at(4, "07:00:00")).await.decision.action.as_label(), "deny");
    assert!(command_line.output(&["block", "list"]).contains(&format!("suspend  person {key}  (chargeback)")));
    assert_eq!(command_line.output(&["block", "remove", "sub", "sub-ada", "--pool", "pool"]), format!("removed: {key}\n"));
    assert_eq!(engine.attempt("ada", HOME, at(4, "08:00:00")).await.decision.action.as_label(), "allow");

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("blocks.csv");
    let file = file.to_str().unwrap();
    std::fs::write(file, "subject,value,pool,kind,until,note,message\nrange,84.208.0.0/16,,,,,\nclient,app,,exempt,,,\nsub,sub-eve,pool,,2199-01-01T00:00:00Z,late,Please renew\n").unwrap();
    assert_eq!(command_line.output(&["block", "add", "--from", file]), "3 entries written\n");
    let list = command_line.output(&["block", "list"]);
    for line in ["suspend  range 84.208.0.0/16", "exempt   client app", "until 2199-01-01T00:00:00Z  (late)  \"Please renew\""] {
        assert!(list.contains(line), "{line:?} is not in {list}");
    }
    assert_eq!(engine.attempt("bob", HOME, at(5, "07:00:00")).await.decision.action.as_label(), "deny");

    // A file with a fault changes nothing, and its row is named.
    std::fs::write(file, "subject,value\nclient,late\nrange,not-a-network\n").unwrap();
    let refused = command_line.run(&["block", "add", "--from", file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("row 3"), "{refused:?}");
    assert!(!command_line.output(&["block", "list"]).contains("late\n"));

    assert!(command_line.output(&["history", "forget", "--pool", "pool", "--sub", "sub-ada"]).starts_with(&format!("forgotten: {key}")));
    assert!(command_line.output(&["history", "export", "--pool", "pool", "--sub", "sub-ada"]).contains("\"successes\": 0"));
}

#[test]
fn a_store_in_memory_or_without_a_server_is_reported() {
    let run = |store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        let output =
            command.args(["history", "export", "--name", "ada"]).env_clear().env("RISKGATE_STORE", store).env("RISKGATE_PSEUDONYM_KEY", KEY).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run("memory");
    assert!(code == Some(2) && text.contains("RISKGATE_STORE"), "{code:?} {text}");
    let (code, text) = run("redis://127.0.0.1:9/0");
    assert!(code == Some(1) && text.contains("the store did not answer"), "{code:?} {text}");
}

/// What would have no effect is refused, and what rests on an old key is reported.
#[tokio::test]
async fn a_command_without_the_deployments_key_or_the_pool_is_refused() {
    let (_server, command_line, store) = redis();
    let new = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
    let both = format!("{new},{KEY}");
    let refuses = |keys: &str, args: &[&str], words: &str| {
        let output = command_line.run_with(keys, args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(words), "{args:?}: {output:?}");
    };
    let lists = |keys: &str| String::from_utf8(command_line.run_with(keys, &["block", "list"]).stdout).unwrap();

    // Before a rotation.
    TestEngine::over(&store, &[]).sign_in("ada", HOME, at(0, "07:00:00")).await;
    command_line.output(&["block", "add", "sub", "sub-eve", "--pool", "pool"]);
    command_line.output(&["block", "add", "device", "box-9"]);
    for args in [
        &["block", "add", "sub", "sub-ada"][..],
        &["block", "add", "name", "ada"],
        &["block", "remove", "sub", "sub-ada"],
        &["history", "forget", "--sub", "sub-ada"],
    ] {
        refuses(KEY, args, "--pool is needed");
    }
    assert_eq!(lists(KEY).lines().count(), 2);
    // The operator is ahead of the deployment: what is written acts there.
    let ahead = command_line.run_with(&both, &["block", "add", "sub", "sub-bob", "--pool", "pool"]);
    assert!(ahead.status.success(), "{ahead:?}");
    assert_eq!(TestEngine::over(&store, &[]).attempt("bob", HOME, at(0, "08:00:00")).await.decision.action.as_label(), "deny");
    // A key that nothing knows.
    refuses("k9:CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCA", &["block", "add", "sub", "sub-ada", "--pool", "pool"], "under key k1");

    // After it.
    let engine = TestEngine::over(&store, &[("PSEUDONYM_KEY", &both)]);
    engine.sign_in("ada", HOME, at(1, "07:00:00")).await;
    for args in [
        &["block", "add", "sub", "sub-ada", "--pool", "pool"][..],
        &["block", "add", "tenant", "acme"],
        &["block", "remove", "sub", "sub-eve", "--pool", "pool"],
        &["history", "forget", "--pool", "pool", "--sub", "sub-ada"],
    ] {
        refuses(KEY, args, "under key k2");
    }
    assert_eq!(lists(&both).lines().count(), 3, "{}", lists(&both));
    let config = || String::from_utf8(command_line.run_with(&both, &["config"]).stdout).unwrap();
    let line = |kid: &str| config().lines().find(|line| line.starts_with(&format!("{kid}: "))).unwrap().to_owned();
    assert!(line("k2").contains("0 blocks of persons, 0 of devices and tenants; newest"), "{}", line("k2"));
    assert!(line("k1").contains("2 blocks of persons, 1 of devices and tenants; do not drop it"), "{}", line("k1"));
    // Seen again, they move.
    for user in ["eve", "bob"] {
        assert_eq!(engine.attempt(user, HOME, at(1, "08:00:00")).await.decision.action.as_label(), "deny");
    }
    assert!(line("k2").contains("2 blocks of persons") && line("k1").contains("0 blocks of persons"), "{}", config());
    let added = command_line.run_with(&both, &["block", "add", "sub", "sub-ada", "--pool", "pool"]);
    assert!(added.status.success(), "{added:?}");
    assert_eq!(TestEngine::over(&store, &[("PSEUDONYM_KEY", new)]).attempt("ada", HOME, at(1, "09:00:00")).await.decision.action.as_label(), "deny");
}

#[test]
fn the_configuration_is_listed_without_the_store() {
    let output = CommandLine { url: "redis://127.0.0.1:9/0".to_owned() }.run(&["config"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("not known: the store did not answer"), "{output:?}");
}
