//! What callers, proxies and CDNs really send: addresses in every form, and words for "not known".

use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, context::Trust, personal::RawEvent};
use riskgate_event::cognito::{self, Event};
use riskgate_runtime::clock;
use serde_json::{Value, json};

use crate::sidecar::Sidecar;

/// Forms of one IPv4 and one IPv6 address.
const FORMS: [&str; 12] = [
    "8.8.4.4:5678",
    "\"8.8.4.4:5678\"",
    " 8.8.4.4 ",
    "::ffff:8.8.4.4",
    "[::ffff:8.8.4.4]:443",
    "for=8.8.4.4;proto=https",
    "[2001:4860::8844]:443",
    "[2001:4860::8844]",
    "\"[2001:4860::8844]:4711\"",
    "2001:4860::8844:46532",
    "2001:4860:0:0:0:0:0:8844:443",
    "for=\"[2001:4860::8844]:4711\"",
];

const DENIED: [(&str, &str); 2] = [("DENY_CIDRS", "8.8.4.4,2001:4860::8844"), ("TRUSTED_PROXIES", "1")];

#[tokio::test]
async fn an_address_in_any_form_is_denied_by_each_way_in() {
    let sidecar = Sidecar::start(&DENIED).await;
    for form in FORMS {
        let by_body = sidecar.assess(&[], &json!({"user": "ada", "ip": form})).await;
        assert_eq!((&by_body["action"], &by_body["decided_by"]), (&json!("deny"), &json!("deny_cidrs")), "the body: {form}");
        let by_proxy = sidecar.assess(&[("x-forwarded-for", &format!("9.9.9.9, {form}"))], &json!({"user": "ada"})).await;
        assert_eq!(by_proxy["action"], "deny", "X-Forwarded-For: {form}");
        let by_metadata = sidecar.post("/2015-03-31/functions/riskgate/invocations", event(json!({"ip": form})).to_string()).await.1;
        assert!(by_metadata["errorMessage"].is_string(), "validationData: {form}");
    }
    let standard = [("forwarded", "for=9.9.9.9, for=\"[2001:4860::8844]:4711\";proto=https;by=10.0.0.1")];
    assert_eq!(sidecar.assess(&standard, &json!({"user": "ada"})).await["action"], "deny", "Forwarded");
    assert_eq!(sidecar.assess(&[standard[0], ("x-forwarded-for", "9.9.9.9")], &json!({"user": "ada"})).await["action"], "allow", "X-Forwarded-For comes first");
}

#[tokio::test]
async fn a_text_that_is_not_an_address_never_becomes_one() {
    let sidecar = Sidecar::start(&[("DENY_CIDRS", "0.0.0.0/0,::/0"), ("TRUSTED_PROXIES", "1")]).await;
    for text in ["1.2.3", "0x7f000001", "127.1", "203.0.113.007", "unknown", "_hidden", "8.8.8.8:99999", "8.8.8.8, 9.9.9.9 x"] {
        let answer = sidecar.assess(&[("x-forwarded-for", text)], &json!({"user": "ada"})).await;
        assert_eq!(answer["action"], "allow", "{text}");
    }
}

#[tokio::test]
async fn what_means_not_known_counts_as_left_out() {
    let sidecar = Sidecar::start(&[]).await;
    let score = async |more: Value| {
        let mut body = json!({"user": "ada", "ip": "81.2.69.142", "time": "2026-11-27T10:30:00Z"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = sidecar.assess(&[], &body).await;
        (answer["score"].clone(), answer["reasons"].clone())
    };
    let plain = score(json!({})).await;
    for more in [
        json!({"deviceId": "00000000-0000-0000-0000-000000000000"}),
        json!({"deviceId": "9774d56d682e549c"}),
        json!({"deviceId": "undefined"}),
        json!({"userAgent": "-"}),
        json!({"userAgent": "unknown"}),
        json!({"timezone": "Etc/Unknown"}),
        json!({"timezone": "undefined"}),
        json!({"acceptLanguage": "*"}),
        json!({"country": "XX"}),
        json!({"country": "ZZ"}),
        json!({"country": "--"}),
        json!({"country": "EU"}),
        json!({"country": "A2"}),
        json!({"country": ""}),
        json!({"country": "unknown"}),
        json!({"asn": 0}),
        json!({"asn": ""}),
        json!({"asn": "unknown"}),
        json!({"tenant": "", "client": "", "pool": ""}),
    ] {
        assert_eq!(score(more.clone()).await, plain, "{more}");
    }
    assert_eq!(score(json!({"country": "UK"})).await, score(json!({"country": "GB"})).await);
    assert_eq!(score(json!({"asn": "AS15169"})).await, score(json!({"asn": 15169})).await);
    let tor = score(json!({"country": "T1"})).await;
    assert!(tor.0.as_f64() > plain.0.as_f64() && tor.1.to_string().contains("tor"), "T1 is a CDN's code for Tor: {tor:?}");
    let absent = sidecar.assess(&[], &json!({"user": "ada", "ip": "unknown"})).await;
    assert_eq!(absent["action"], "allow", "{absent}");
}

#[test]
fn metadata_that_means_not_known_is_no_context() {
    let data =
        json!({"ip": "unknown", "userAgent": "null", "deviceId": "00000000-0000-0000-0000-000000000000", "acceptLanguage": "-", "timezone": "Etc/Unknown"});
    let raw = serde_json::from_value(event(data)).map(RawEvent::new).expect("JSON");
    let Ok(Event::PreAuthentication(sign_in)) = cognito::parse(raw, clock::read(), &Config::defaults().trust) else { panic!("a sign-in") };
    assert_eq!((sign_in.context.trust, sign_in.context.ip), (Trust::None, ClientIp::Missing));
    assert_eq!(sign_in.context.ignored.len(), 5, "{:?}", sign_in.context.ignored);
}

#[tokio::test]
async fn what_is_dropped_is_counted_and_logged_once_a_minute() {
    let sidecar = Sidecar::start(&[("TRUSTED_PROXIES", "2")]).await;
    for _ in 0..3 {
        sidecar.assess(&[("x-forwarded-for", "8.8.8.8")], &json!({"user": "ada", "deviceId": "unknown"})).await;
    }
    sidecar.assess(&[("x-forwarded-for", "1.2.3, 10.0.0.1")], &json!({"user": "ada"})).await;
    for timezone in ["Mars/Phobos", "Europe/Oslo"] {
        sidecar.assess(&[("x-forwarded-for", "8.8.8.8, 10.0.0.1")], &json!({"user": "ada", "timezone": timezone})).await;
    }
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for line in [
        "riskgate_inputs_ignored_total{input=\"forwarded_ip\",cause=\"too_few_proxies\"} 3",
        "riskgate_inputs_ignored_total{input=\"device_id\",cause=\"not_known\"} 3",
        "riskgate_inputs_ignored_total{input=\"ip\",cause=\"malformed\"} 1",
        "riskgate_inputs_ignored_total{input=\"timezone\",cause=\"not_known\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{}", metrics.lines().filter(|line| line.contains("ignored")).collect::<Vec<_>>().join("\n"));
    }
}

#[tokio::test]
async fn what_is_read_in_part_is_counted() {
    let sidecar = Sidecar::start(&[]).await;
    let long = "x1".repeat(300);
    sidecar.assess(&[], &json!({"user": "ada", "ip": "8.8.8.8", "userAgent": long, "deviceId": long, "acceptLanguage": long})).await;
    sidecar.assess(&[], &json!({"user": "ada", "ip": "8.8.8.8", "userAgent": "Mozilla/5.0", "deviceId": &long[..256], "acceptLanguage": "de"})).await;
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for input in ["user_agent", "device_id", "accept_language"] {
        let line = format!("riskgate_inputs_ignored_total{{input=\"{input}\",cause=\"too_long\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn a_device_id_that_many_users_share_is_not_familiar() {
    let sidecar = Sidecar::start(&[]).await;
    let sign_in = async |user: &str, device: Option<&str>| {
        let body = json!({"user": user, "ip": "81.2.69.142", "deviceId": device, "time": "2026-11-27T10:30:00Z"});
        let answer = sidecar.assess(&[], &body).await;
        let report = json!({"id": answer["id"], "outcome": "success", "time": "2026-11-27T10:30:00Z"});
        assert_eq!(sidecar.post("/v1/outcome", report.to_string()).await.0, 200);
        answer["score"].as_f64().expect("a score")
    };
    for user in 0..21 {
        sign_in(&format!("user-{user}"), Some("constant-of-an-app")).await;
    }
    for _ in 0..3 {
        sign_in("ada", Some("constant-of-an-app")).await;
        sign_in("bob", None).await;
    }
    let (shared, without) = (sign_in("ada", Some("constant-of-an-app")).await, sign_in("bob", None).await);
    assert!((shared - without).abs() < 0.05, "{shared} with the shared id, {without} without an id");
    let ready = sidecar.stream("/readyz").await.text().await.expect("text");
    assert!(ready.contains(r#""what":"device_id","why":"shared""#), "{ready}");
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for line in ["riskgate_inputs_ignored_total{input=\"device_id\",cause=\"shared\"} 5", "riskgate_shared_device_ids 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_caller_that_sends_its_own_address_is_reported() {
    let sidecar = Sidecar::start(&[("TRUSTED_PROXIES", "1")]).await;
    for user in 0..32 {
        sidecar.assess(&[("x-forwarded-for", "8.8.8.8")], &json!({"user": format!("user-{user}"), "client": "backend"})).await;
        sidecar.assess(&[("x-forwarded-for", &format!("81.2.{user}.1"))], &json!({"user": format!("user-{user}"), "client": "app"})).await;
        sidecar.assess(&[("x-forwarded-for", "10.0.0.7")], &json!({"user": format!("user-{user}"), "client": "inside"})).await;
    }
    let ready = sidecar.stream("/readyz").await.text().await.expect("text");
    assert!(
        ready.contains(r#""what":"client_ip","why":"shared_address""#) && ready.contains(r#""why":"private_address""#) && ready.contains("TRUSTED_PROXIES"),
        "{ready}"
    );
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for cause in ["shared_address", "private_address"] {
        let line = format!("riskgate_client_address_faults{{cause=\"{cause}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn countries_and_as_numbers_are_denied_and_named() {
    let sidecar = Sidecar::start(&[("DENY_COUNTRIES", "GB"), ("DENY_ASNS", "64500"), ("ALLOW_ASNS", "64501")]).await;
    let ask = async |more: Value| {
        let mut body = json!({"user": "ada", "ip": "81.2.69.142"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = sidecar.assess(&[], &body).await;
        (answer["action"].clone(), answer["decided_by"].clone(), answer["list_entry"].clone())
    };
    assert_eq!(ask(json!({})).await, (json!("deny"), json!("deny_countries"), json!("GB")), "by the bundled database");
    assert_eq!(ask(json!({"country": "NO"})).await.1, "thresholds", "the caller knows better");
    assert_eq!(ask(json!({"asn": 64500})).await, (json!("deny"), json!("deny_asns"), json!("AS64500")));
    assert_eq!(ask(json!({"asn": "AS64501"})).await, (json!("allow"), json!("allow_asns"), json!("AS64501")));
}

#[test]
fn a_service_of_our_name_does_not_stop_the_start() {
    let links = [
        ("RISKGATE_SERVICE_HOST", "10.96.14.7"),
        ("RISKGATE_SERVICE_PORT", "8710"),
        ("RISKGATE_SERVICE_PORT_ASSESS", "8710"),
        ("RISKGATE_PORT", "tcp://10.96.14.7:8710"),
        ("RISKGATE_PORT_8710_TCP_ADDR", "10.96.14.7"),
        ("RISKGATE_LISTEN_SERVICE_HOST", "10.96.14.8"),
        // A Service named `riskgate-mode--web`: what looks like a setting of an app client is none.
        ("RISKGATE_MODE__WEB_SERVICE_HOST", "10.96.14.9"),
        ("RISKGATE_MODE__WEB_PORT", "tcp://10.96.14.9:80"),
    ];
    let read = |variables: &[(&str, &str)]| {
        let map = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map as &std::collections::BTreeMap<String, String>);
        (config, faults.into_iter().map(|fault| fault.variable).collect::<Vec<_>>())
    };
    let (config, faults) = read(&links);
    assert!(faults.is_empty() && config.decision.mode.clients.is_empty(), "{faults:?}");
    assert_eq!(read(&[("RISKGATE_PORT", "8710"), ("RISKGATE_DENYAT", "5")]).1, ["RISKGATE_DENYAT", "RISKGATE_PORT"]);
}

fn event(data: Value) -> Value {
    json!({
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": "eu-west-1_AbCdEf", "userName": "ada",
        "callerContext": {"clientId": "web"}, "request": {"userAttributes": {"sub": "s-1"}, "validationData": data}, "response": {},
    })
}
