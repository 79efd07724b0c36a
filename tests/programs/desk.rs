//! `riskgate history` and `riskgate block`, as operators run them, on a real Redis beside a gate that serves.

use std::process::{Command, Output};

use crate::stores::{self, HOME, House, KEY, at};

struct Desk {
    url: String,
}

impl Desk {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command.args(args).env_clear().env("RISKGATE_STORE", &self.url).env("RISKGATE_PSEUDONYM_KEY", KEY);
        command.output().unwrap()
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn an_operator_looks_blocks_and_erases() {
    let server = stores::redis_server();
    let desk = Desk { url: format!("redis://127.0.0.1:{}/0", server.port) };
    let store = riskgate::evidence::history::redis::Redis::open(&secrecy::SecretString::from(desk.url.clone()), std::time::Duration::from_secs(2)).unwrap();
    let store: std::sync::Arc<dyn riskgate::evidence::history::Store> = std::sync::Arc::new(store);
    let house = House::over(&store, &[]);
    for day in 0..3 {
        house.sign_in("ada", HOME, at(day, "07:00:00")).await;
    }
    let export = desk.says(&["history", "export", "--pool", "pool", "--sub", "sub-ada"]);
    let export: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(export["records"][0]["successes"], 3);
    let key = export["records"][0]["key"].as_str().unwrap().to_owned();

    assert_eq!(desk.says(&["block", "add", "sub", "sub-ada", "--pool", "pool", "--note", "chargeback"]), format!("suspend: {key}\n"));
    assert_eq!(house.attempt("ada", HOME, at(4, "07:00:00")).await.decision.action.as_label(), "deny");
    assert!(desk.says(&["block", "list"]).contains(&format!("suspend  person {key}  (chargeback)")));
    assert_eq!(desk.says(&["block", "remove", "sub", "sub-ada", "--pool", "pool"]), format!("removed: {key}\n"));
    assert_eq!(house.attempt("ada", HOME, at(4, "08:00:00")).await.decision.action.as_label(), "allow");

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("blocks.csv");
    let file = file.to_str().unwrap();
    std::fs::write(file, "subject,value,pool,kind,until,note,message\nrange,84.208.0.0/16,,,,,\nclient,app,,exempt,,,\nsub,sub-eve,pool,,2199-01-01T00:00:00Z,late,Please renew\n").unwrap();
    assert_eq!(desk.says(&["block", "add", "--from", file]), "3 entries written\n");
    let list = desk.says(&["block", "list"]);
    for line in ["suspend  range 84.208.0.0/16", "exempt   client app", "until 2199-01-01T00:00:00Z  (late)  \"Please renew\""] {
        assert!(list.contains(line), "{line:?} is not in {list}");
    }
    assert_eq!(house.attempt("bob", HOME, at(5, "07:00:00")).await.decision.action.as_label(), "deny");

    // A file with a fault changes nothing, and its row is named.
    std::fs::write(file, "subject,value\nclient,late\nrange,not-a-network\n").unwrap();
    let refused = desk.run(&["block", "add", "--from", file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("row 3"), "{refused:?}");
    assert!(!desk.says(&["block", "list"]).contains("late\n"));

    assert!(desk.says(&["history", "forget", "--pool", "pool", "--sub", "sub-ada"]).starts_with(&format!("forgotten: {key}")));
    assert!(desk.says(&["history", "export", "--pool", "pool", "--sub", "sub-ada"]).contains("\"successes\": 0"));
}

#[test]
fn a_store_in_memory_or_away_is_said() {
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
