//! The dashboard's routes: what nobody, a viewer and an operator may see and do, and what a hostile page or log cannot.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use crate::server::sidecar::tls;
use reqwest::{Method, RequestBuilder};
use riskgate_config::Config;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::mode::RuntimeMode;
use riskgate_server::sidecar::{self, ListenerRole};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

const VIEW: &str = "a-view-token-of-length";
const ADA: &str = "the-token-of-ada-of-length";
const SECRET: &str = "the-secret-of-the-proxy";
const NAME: &str = "planted-name@example.com";
const IP: &str = "81.2.69.142";

/// A sidecar on its own port. It ends when this value is dropped.
struct Sidecar {
    url: String,
    client: reqwest::Client,
    directory: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Sidecar {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut map: BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        map.insert("RISKGATE_AUDIT".to_owned(), directory.path().join("audit.jsonl").display().to_string());
        map.insert("RISKGATE_DASHBOARD_VIEW_TOKEN".to_owned(), VIEW.to_owned());
        map.insert("RISKGATE_DASHBOARD_OPERATORS".to_owned(), format!("ada={ADA}"));
        let (config, faults) = Config::read(&map);
        assert!(faults.is_empty(), "{faults:?}");
        let instance = Instance::strict(config, Vec::new(), RuntimeMode::Sidecar).expect("no fault");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(sidecar::serve(listener, ListenerRole::Combined, Arc::clone(&instance), async {
            let _ = stopped.await;
        }));
        Sidecar { url, client: reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).build().expect("a client"), directory, _stop: stop }
    }

    fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Assesses a sign-in and reports a right password.
    async fn sign_in(&self, user: &str) -> Value {
        let body = json!({ "user": user, "ip": IP, "client": "web", "userAgent": "<script>alert(1)</script>", "deviceId": "planted-device" }).to_string();
        let answer = self.request(Method::POST, "/v1/assess", None).header("content-type", "application/json").body(body).send().await.expect("an answer");
        let assessment: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        if assessment["action"] != "deny" {
            let outcome = json!({ "id": assessment["id"], "outcome": "success" }).to_string();
            let reported = self.request(Method::POST, "/v1/outcome", None).header("content-type", "application/json").body(outcome).send().await;
            assert_eq!(reported.expect("an answer").status(), 200);
        }
        assessment
    }

    async fn get(&self, path: &str, token: &str) -> Value {
        let text = self.request(Method::GET, path, Some(token)).send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The newest row, once its outcome has arrived.
    async fn newest(&self) -> Value {
        for _ in 0..200 {
            let row = self.get("/v1/activity/decisions?limit=1", VIEW).await["rows"][0].clone();
            if row["outcome"] == "success" {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the decision does not appear");
    }

    /// The answer of a search by a viewer.
    async fn find(&self, text: &str) -> (u16, Value) {
        let answer = self.request(Method::POST, "/v1/activity/find", Some(VIEW)).body(json!({ "text": text }).to_string()).send().await.expect("an answer");
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"))
    }

    /// The first assessment that a rule has decided. Blocks of networks apply within ten seconds.
    async fn until_decided_by(&self, rule: &str) -> Value {
        for _ in 0..300 {
            let assessment = self.sign_in(NAME).await;
            if assessment["decided_by"] == rule {
                return assessment;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no assessment was decided by {rule}");
    }

    async fn act(&self, body: &Value, token: &str) -> (u16, Value) {
        let request = self.request(Method::POST, "/v1/actions", Some(token)).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"))
    }
}

/// The lines of the actions, once there are as many.
async fn action_lines(directory: &Path, expected: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    for _ in 0..200 {
        let text = fs::read_to_string(directory.join("audit.jsonl")).unwrap_or_default();
        lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line["trigger"] == "operator").collect();
        if lines.len() >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines.len(), expected, "{lines:?}");
    lines
}

const READING: [&str; 6] = [
    "/v1/activity/decisions",
    "/v1/activity/decisions/x",
    "/v1/activity/users/x",
    "/v1/activity/findings",
    "/v1/actions",
    "/v1/actions/affected?subject=client&value=web",
];

#[tokio::test]
async fn without_a_token_no_user_is_seen() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    for path in READING.iter().copied().chain(["/v1/activity?user=x", "/v1/activity?net=x", "/v1/activity?device=x"]) {
        let answer = sidecar.request(Method::GET, path, None).send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
    }
    for (path, body) in [
        ("/v1/activity/users", r#"{"name":"ada"}"#),
        ("/v1/activity/find", r#"{"text":"ada"}"#),
        ("/v1/actions/preview", r#"{"action":"suspend","subject":"user","value":"u","note":"why"}"#),
        ("/v1/actions", r#"{"action":"suspend","subject":"user","value":"u","note":"why"}"#),
        ("/v1/actions/x/undo", r#"{"note":"why"}"#),
    ] {
        let request = sidecar.request(Method::POST, path, None).header("content-type", "application/json").body(body);
        assert_eq!(request.send().await.expect("an answer").status(), 401, "{path}");
    }
    let overview = sidecar.request(Method::GET, "/v1/activity", None).send().await.expect("an answer").text().await.expect("a body");
    assert!(overview.contains("\"total\":1"), "{overview}");
    for name in ["user", "net", "device", "id"] {
        let pseudonym = row[name].as_str().expect("a pseudonym");
        assert!(!overview.contains(pseudonym), "{name} is in {overview}");
    }
    for wrong in ["", "wrong", &VIEW[1..]] {
        let answer = sidecar.request(Method::GET, "/v1/activity", Some(wrong)).send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{wrong}");
    }
}

#[tokio::test]
async fn a_view_token_sees_users_and_cannot_act() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let user = row["user"].as_str().expect("a user");
    assert_eq!(sidecar.get(&format!("/v1/activity/users/{user}"), VIEW).await["total"], 1);
    let decision = sidecar.get(&format!("/v1/activity/decisions/{}", row["id"].as_str().expect("an id")), VIEW).await;
    assert_eq!(decision["decided_by"], "thresholds");
    let found = sidecar.request(Method::POST, "/v1/activity/users", Some(VIEW)).body(json!({ "name": NAME }).to_string()).send().await.expect("an answer");
    assert!(found.text().await.expect("a body").contains(user));
    let (status, problem) = sidecar.act(&json!({ "action": "suspend", "subject": "user", "value": user, "note": "a test" }), VIEW).await;
    assert_eq!((status, &problem["code"]), (403, &json!("operator_needed")));
    assert_eq!(sidecar.get("/v1/activity/session", VIEW).await["can_act"], false);
}

#[tokio::test]
async fn an_operator_suspends_and_undoes_and_both_are_audited() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let note = "chargeback <img src=x onerror=alert(1)>";
    let (status, action) = sidecar.act(&json!({ "action": "suspend", "subject": "user", "value": row["user"], "note": note, "seconds": 3600 }), ADA).await;
    assert_eq!((status, &action["operator"]), (200, &json!("ada")), "{action}");
    let account = row["user"].as_str().expect("a user");
    let account = if account.starts_with('-') { format!("'{account}'") } else { account.to_owned() };
    assert_eq!(action["command"], format!("riskgate block add account {account} --for 1h --note 'chargeback <img src=x onerror=alert(1)>'"));
    let suspended = sidecar.sign_in(NAME).await;
    assert_eq!((&suspended["decision"], &suspended["decided_by"]), (&json!("deny"), &json!("suspended")));
    let undo = format!("/v1/actions/{}/undo", action["id"].as_str().expect("an id"));
    let undone = async || {
        let request = sidecar.request(Method::POST, &undo, Some(ADA)).header("content-type", "application/json").body(r#"{"note":"a mistake"}"#);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((undone().await, undone().await), (200, 409));
    assert_ne!(sidecar.sign_in(NAME).await["decided_by"], "suspended");
    let lines = action_lines(sidecar.directory.path(), 2).await;
    assert_eq!(
        (&lines[0]["operator"], &lines[0]["operation"], &lines[0]["note"], &lines[0]["value"]),
        (&json!("ada"), &json!("suspend"), &json!(note), &row["user"])
    );
    assert_eq!((&lines[1]["undoes"], &lines[1]["note"]), (&action["id"], &json!("a mistake")));
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/data/audit.schema.json")).expect("the schema")).expect("JSON");
    let described: Vec<&String> = schema["$defs"]["action"]["properties"].as_object().expect("members").keys().collect();
    assert!(lines.iter().all(|line| line.as_object().expect("an object").keys().collect::<Vec<_>>() == described), "{lines:?}");
    let log = sidecar.directory.path().join("audit.jsonl");
    let replayed = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate")).arg("replay").arg(log).output().expect("the binary runs");
    let problems = String::from_utf8_lossy(&replayed.stderr);
    assert!(!problems.contains("audit.jsonl, line"), "an action is no bad row: {problems}");
}

#[tokio::test]
async fn sessions_are_not_revoked_where_none_are_looked_up() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    assert_eq!(sidecar.get("/v1/activity/session", ADA).await["can_revoke"], false);
    let (status, problem) = sidecar.act(&json!({ "action": "revoke", "subject": "user", "value": row["user"], "note": "a test", "name": NAME }), ADA).await;
    assert_eq!((status, &problem["code"]), (409, &json!("no_sessions")));
    action_lines(sidecar.directory.path(), 0).await;
}

#[tokio::test]
async fn an_action_on_a_network_or_a_client_names_the_known_users_it_affects() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    sidecar.newest().await;
    for (subject, value) in [("range", "81.2.69.0/24"), ("client", "web")] {
        let mut body = json!({ "action": "suspend", "subject": subject, "value": value, "note": "a wave", "seconds": 600 });
        let (status, problem) = sidecar.act(&body, ADA).await;
        assert_eq!((status, &problem["code"]), (409, &json!("confirm")), "{problem}");
        body["confirmed_users"] = sidecar.get(&format!("/v1/actions/affected?subject={subject}&value={value}"), ADA).await["users"].clone();
        assert_eq!(body["confirmed_users"], 1);
        assert_eq!(sidecar.act(&body, ADA).await.0, 200);
    }
    let (status, _) = sidecar
        .act(&json!({ "action": "suspend", "subject": "range", "value": "198.51.100.0/24", "note": "a wave", "seconds": 60, "confirmed_users": 0 }), ADA)
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_network_and_an_as_are_suspended_by_what_the_page_knows_of_them() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let (net, asn) = (row["net"].as_str().expect("a network"), row["asn"].as_u64().expect("an AS").to_string());
    for (subject, value) in [("network", net), ("asn", asn.as_str())] {
        let mut body = json!({ "action": "suspend", "subject": subject, "value": value, "note": "a wave", "seconds": 600 });
        let request = sidecar.request(Method::POST, "/v1/actions/preview", Some(VIEW)).body(body.to_string());
        let preview: Value = serde_json::from_str(&request.send().await.expect("an answer").text().await.expect("a body")).expect("JSON");
        assert_eq!((&preview["users"], preview["command"].as_str().map(|text| text.contains(value))), (&json!(1), Some(true)), "{preview}");
        assert_eq!(sidecar.act(&body, ADA).await.1["code"], "confirm");
        body["confirmed_users"] = json!(1);
        let (status, action) = sidecar.act(&body, ADA).await;
        assert_eq!((status, &action["command"]), (200, &preview["command"]), "{action}");
        assert_eq!(sidecar.until_decided_by("suspended").await["action"], "deny", "{subject}");
        let undo = format!("/v1/actions/{}/undo", action["id"].as_str().expect("an id"));
        let undone = sidecar.request(Method::POST, &undo, Some(ADA)).header("content-type", "application/json").body(r#"{"note":"our own exit"}"#);
        let undone: Value = serde_json::from_str(&undone.send().await.expect("an answer").text().await.expect("a body")).expect("JSON");
        assert_eq!((&undone["undone_by"], &undone["undo_note"], undone["undone_at"].is_i64()), (&json!("ada"), &json!("our own exit"), true), "{undone}");
        sidecar.until_decided_by("thresholds").await;
    }
    // What no stored decision has is not suspended: a mistyped pseudonym would seem to work.
    for (subject, value) in [("network", "AAAAAAAAAAAAAAAA"), ("asn", "64999")] {
        let body = json!({ "action": "suspend", "subject": subject, "value": value, "note": "a wave", "seconds": 600, "confirmed_users": 0 });
        let (status, problem) = sidecar.act(&body, ADA).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown")));
    }
}

#[tokio::test]
async fn what_is_stored_is_found_and_nothing_else() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let text = |name: &str| row[name].as_str().expect("a text").to_owned();
    let asn = format!("AS{}", row["asn"]);
    for (searched, kind, value) in [
        (text("id"), "decision", text("id")),
        (text("user"), "user", text("user")),
        (NAME.to_owned(), "user", text("user")),
        (text("net"), "net", text("net")),
        (asn.clone(), "asn", asn[2..].to_owned()),
        ("web".to_owned(), "client", "web".to_owned()),
    ] {
        let (status, found) = sidecar.find(&searched).await;
        assert_eq!((status, &found["kind"], &found["value"]), (200, &json!(kind), &json!(value)), "{searched}: {found}");
    }
    for unknown in ["anna", "AAAAAAAAAAAAAAAA", "AS64999", "01M80EJRYK6508PR6CQENEZ8FV", "planted-device", IP] {
        let (status, problem) = sidecar.find(unknown).await;
        assert_eq!(status, 404, "{unknown}: {problem}");
        assert!(!problem.to_string().contains(unknown), "{problem}");
    }
    let unknown = sidecar.request(Method::POST, "/v1/activity/users", Some(VIEW)).body(r#"{"name":"anna"}"#).send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn lists_are_complete_and_name_networks_to_viewers_only() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    for (of, value) in [("net", row["net"].clone()), ("user", row["user"].clone()), ("asn", json!(row["asn"].to_string())), ("client", json!("web"))] {
        let list = sidecar.get(&format!("/v1/activity/values?of={of}&sort=got_in&range=10m&outcome=got_in"), VIEW).await;
        assert_eq!((&list["total"], &list["rows"][0]["value"], &list["rows"][0]["got_in"]), (&json!(1), &value, &json!(1)), "{list}");
        let status = sidecar.request(Method::GET, &format!("/v1/activity/values?of={of}"), None).send().await.expect("an answer").status();
        assert_eq!(status, if matches!(of, "net" | "user") { 401 } else { 200 }, "{of}");
    }
    assert_eq!(sidecar.get("/v1/activity/values?of=net&outcome=failed", VIEW).await["total"], 0);
    for wrong in ["", "of=device", "of=net&sort=name", "of=net&from=then"] {
        let status = sidecar.request(Method::GET, &format!("/v1/activity/values?{wrong}"), Some(VIEW)).send().await.expect("an answer").status();
        assert_eq!(status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_label_is_recorded_and_lists_the_sign_in_as_missed() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let (status, action) =
        sidecar.act(&json!({ "action": "label", "subject": "decision", "value": row["id"], "label": "fraud", "note": "reported by phone" }), ADA).await;
    assert_eq!(status, 200, "{action}");
    assert_eq!(sidecar.get("/v1/activity/findings", VIEW).await["missed_attacks"][0]["id"], row["id"]);
    let (status, _) = sidecar
        .act(&json!({ "action": "label", "subject": "decision", "value": "01M80EJRYK6508PR6CQENEZ8FV", "label": "fraud", "note": "no such one" }), ADA)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn names_of_a_proxy_count_only_from_its_network_with_its_secret() {
    let proxied = [("DASHBOARD_PROXY_CIDRS", "127.0.0.0/8"), ("DASHBOARD_PROXY_SECRET", SECRET)];
    let elsewhere = [("DASHBOARD_PROXY_CIDRS", "192.0.2.0/24"), ("DASHBOARD_PROXY_SECRET", SECRET)];
    for (variables, secret, status) in [(proxied, SECRET, 200), (proxied, "another-secret-of-length", 403), (elsewhere, SECRET, 403)] {
        let sidecar = Sidecar::start(&variables).await;
        let request =
            sidecar.request(Method::GET, "/v1/activity/session", None).header("x-forwarded-user", "eve@example.com").header("x-riskgate-proxy-secret", secret);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{variables:?}");
        assert_eq!(answer.text().await.expect("a body").contains("eve@example.com"), status == 200);
    }
    // Without a configured proxy the header means nothing.
    let sidecar = Sidecar::start(&[]).await;
    let answer = sidecar.request(Method::GET, "/v1/activity/session", None).header("x-forwarded-user", "eve@example.com").send().await.expect("an answer");
    assert_eq!(serde_json::from_str::<Value>(&answer.text().await.expect("a body")).expect("JSON")["operator"], Value::Null);
}

#[tokio::test]
async fn other_sites_can_neither_act_nor_frame_the_page() {
    let sidecar = Sidecar::start(&[]).await;
    let body = r#"{"action":"suspend","subject":"client","value":"web","note":"why","seconds":60,"confirmed_users":9}"#;
    for (headers, status) in [
        ([("origin", "https://evil.example"), ("content-type", "application/json")], 403),
        ([("sec-fetch-site", "cross-site"), ("content-type", "application/json")], 403),
        ([("sec-fetch-site", "same-site"), ("content-type", "application/json")], 403),
        ([("sec-fetch-site", "same-origin"), ("content-type", "text/plain")], 415),
        ([("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")], 415),
        ([("sec-fetch-site", "same-origin"), ("content-type", "application/json")], 200),
    ] {
        let mut request = sidecar.request(Method::POST, "/v1/actions", Some(ADA)).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.expect("an answer").status(), status, "{headers:?}");
    }
    for path in ["/", "/d/01M80EJRYK6508PR6CQENEZ8FV", "/d/%3Cscript%3E"] {
        let answer = sidecar.request(Method::GET, path, None).send().await.expect("an answer");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
        assert!(!answer.text().await.expect("a body").contains("<script>"), "{path}");
    }
}

#[tokio::test]
async fn promised_and_realised_rates_need_no_token() {
    let sidecar = Sidecar::start(&[]).await;
    let answer = sidecar.request(Method::GET, "/v1/activity/calibration", None).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let shown: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert!(shown["model"].is_string() && shown["pools"] == json!([]), "nothing was counted yet: {shown}");
}

#[tokio::test]
async fn planted_personal_values_are_in_no_answer_and_no_action_line() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.sign_in(NAME).await;
    let row = sidecar.newest().await;
    let user = row["user"].as_str().expect("a user");
    sidecar.act(&json!({ "action": "lift", "subject": "user", "value": user, "note": "a known person" }), ADA).await;
    sidecar.act(&json!({ "action": "exempt", "subject": "user", "value": user, "note": "travels", "seconds": 60 }), ADA).await;
    let mut texts = vec![json!(action_lines(sidecar.directory.path(), 2).await).to_string()];
    let id = row["id"].as_str().expect("an id");
    for path in [
        "/v1/activity",
        "/v1/activity/decisions",
        "/v1/activity/findings",
        "/v1/activity/calibration",
        "/v1/actions",
        &format!("/v1/activity/users/{user}"),
        &format!("/v1/activity/decisions/{id}"),
    ] {
        texts.push(sidecar.get(path, ADA).await.to_string());
    }
    for marker in [NAME, "planted", IP, "81.2.69", "alert(1)", ADA, VIEW] {
        assert!(texts.iter().all(|text| !text.contains(marker)), "{marker}");
    }
}
