//! Each service's wire format, with a server on loopback: the requests, and every row of its error table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use riskgate_engine::evidence::{Answer, Risk};
use riskgate_engine::service::Service;
use riskgate_runtime::mode::RuntimeMode;

use crate::harness::{TestEnricher, described};
use crate::sidecar::Sidecar;
use crate::wire::{Act, Request, Server, answer, json};

const MINFRAUD: &str = r#"{"id":"27d26476","risk_score":42.5,"funds_remaining":25,"queries_remaining":1000,"ip_address":{"risk":1,
 "risk_reasons":[{"code":"ANONYMOUS_IP","reason":"text"}],"country":{"iso_code":"NO"}},"warnings":[{"code":"INPUT_INVALID","warning":"x"}],"new_field":[1]}"#;

/// The variables that set one service up at an origin.
fn variables<'a>(service: &'a str, origin: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut variables = vec![("PROVIDERS", service), ("PROVIDER_TIMEOUT", "2400ms")];
    variables.extend(match service {
        "minfraud" => vec![("MINFRAUD_URL", origin), ("MINFRAUD_ACCOUNT_ID", "4711"), ("MINFRAUD_LICENSE_KEY", "lic-key")],
        "ipqs" => vec![("IPQS_URL", origin), ("IPQS_KEY", "ip/qs")],
        "abuseipdb" => vec![("ABUSEIPDB_URL", origin), ("ABUSEIPDB_KEY", "abuse-key")],
        "crowdsec" => vec![("CROWDSEC_URL", origin), ("CROWDSEC_KEY", "bouncer-key")],
        "crowdsec_cti" => vec![("CROWDSEC_CTI_URL", origin), ("CROWDSEC_CTI_KEY", "cti-key")],
        _ => vec![("HTTP_URL", origin)],
    });
    variables
}

/// Looks up an address at a service that treats every request like this. Returns the outcome's label and the answer.
async fn look_up(service: &str, act: Act) -> (&'static str, Option<Answer>) {
    let server = Server::start(move |_| act.clone()).await;
    let consultation = TestEnricher::new(RuntimeMode::Lambda, &variables(service, &server.origin())).ask("8.8.8.8").await;
    (consultation.outcome.as_label(), consultation.answer.map(Arc::unwrap_or_clone))
}

async fn check_outcomes(service: &str, rows: Vec<(Act, &str)>) {
    for (act, expected) in rows {
        let shown = format!("{act:?}");
        let (outcome, answer) = look_up(service, act).await;
        assert_eq!(outcome, expected, "{service}: {}", shown.chars().take(200).collect::<String>());
        assert_eq!(answer.is_some(), expected == "fresh", "{service}");
    }
}

async fn check_answer(service: &str, body: &'static str, risk: Risk, codes: &[&str]) {
    let (outcome, answer) = look_up(service, json(200, body)).await;
    let answer = answer.unwrap_or_else(|| panic!("{service}: {outcome}"));
    assert_eq!((answer.risk, answer.codes.as_slice()), (risk, codes.iter().map(|code| (*code).into()).collect::<Vec<smol_str::SmolStr>>().as_slice()));
}

/// What every service has in common.
fn common() -> Vec<(Act, &'static str)> {
    vec![
        (json(401, r#"{"code":"AUTHORIZATION_INVALID"}"#), "key_refused"),
        (json(402, r#"{"code":"INSUFFICIENT_FUNDS"}"#), "no_credit"),
        (json(403, r#"{"message":"access forbidden"}"#), "key_refused"),
        (json(400, "{}"), "http_4xx"),
        (json(415, "{}"), "http_4xx"),
        (json(422, "{}"), "http_4xx"),
        (answer(429, &[("retry-after", "60")], "{}"), "rate_limited"),
        (answer(429, &[], "{}"), "rate_limited"),
        (json(500, "{}"), "http_5xx"),
        (json(503, "{}"), "http_5xx"),
        (answer(302, &[("location", "http://169.254.169.254/")], ""), "redirect"),
        (answer(307, &[("location", "/elsewhere")], ""), "redirect"),
        (answer(200, &[("content-type", "text/html")], "<html>"), "bad_answer"),
        (answer(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], "\u{1f}\u{8b}"), "bad_answer"),
        (json(200, "{\"truncated\":"), "bad_answer"),
        (json(200, "7"), "bad_answer"),
        (json(200, format!("[\"{}\"]", "x".repeat(70_000))), "too_large"),
    ]
}

/// The outcome of a look-up at a service that answers like this, and the request that it received.
async fn first_request(service: &str, body: &'static str) -> (&'static str, Request) {
    let server = Server::json(body).await;
    let outcome = TestEnricher::new(RuntimeMode::Lambda, &variables(service, &server.origin())).outcome("8.8.8.8").await;
    (outcome, server.requests().remove(0))
}

#[tokio::test]
async fn minfraud_is_called_in_its_format() {
    let server = Server::json(MINFRAUD).await;
    let origin = server.origin();
    let enricher =
        TestEnricher::new(RuntimeMode::Lambda, &[&variables("minfraud", &origin)[..], &[("MINFRAUD_SEND", "all"), ("MINFRAUD_SERVICE", "insights")]].concat());
    assert_eq!(enricher.outcome("8.8.8.8").await, "fresh");
    let narrow = TestEnricher::new(RuntimeMode::Lambda, &variables("minfraud", &origin));
    assert_eq!(narrow.outcome("8.8.8.8").await, "fresh");
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /minfraud/v2.0/insights");
    assert_eq!(requests[0].header("authorization"), Some("Basic NDcxMTpsaWMta2V5"));
    let body: serde_json::Value = serde_json::from_str(&requests[0].body).expect("JSON");
    let expected = serde_json::json!({"device":{"ip_address":"8.8.8.8","user_agent":"Mozilla/5.0 (X11) Probe/1.0","accept_language":"nb-NO"},
        "event":{"type":"account_login"},"account":{"username_md5":"98ccf08e739d8d5eebf6c9aeb0eed346"}});
    assert_eq!(body, expected);
    assert_eq!(requests[1].line, "POST /minfraud/v2.0/score");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&requests[1].body).expect("JSON"), serde_json::json!({"device":{"ip_address":"8.8.8.8"}}));
}

#[tokio::test]
async fn minfraud_answers_in_its_format() {
    check_answer("minfraud", MINFRAUD, Risk::Score(42.5), &["ANONYMOUS_IP"]).await;
    let vendor = "application/vnd.maxmind.com-minfraud-score+json; charset=UTF-8; version=2.0";
    check_outcomes("minfraud", common()).await;
    check_outcomes(
        "minfraud",
        vec![
            (answer(200, &[("content-type", vendor)], r#"{"id":"x","risk_score":0.01}"#), "fresh"),
            (json(200, r#"{"id":"x","risk_score":5,"warnings":[{"code":"IP_ADDRESS_RESERVED"}]}"#), "negative"),
            (json(200, r#"{"id":"x"}"#), "bad_answer"),
            (json(200, r#"{"risk_score":"42"}"#), "fresh"),
            (json(200, r#"{"risk_score":"NaN"}"#), "bad_answer"),
            (json(200, r#"{"risk_score":null}"#), "bad_answer"),
            (json(200, r#"{"risk_score":5,"warnings":[{"code":"IP_ADDRESS_NOT_FOUND"}]}"#), "negative"),
            (json(200, r#"{"risk_score":100.1}"#), "bad_answer"),
            (json(200, r#"{"risk_score":-1}"#), "bad_answer"),
            (json(200, r#"{"risk_score":1e400}"#), "bad_answer"),
        ],
    )
    .await;
}

#[tokio::test]
async fn ipqs_is_called_with_its_key_in_the_path() {
    let server = Server::json(r#"{"success":true,"fraud_score":10}"#).await;
    let origin = server.origin();
    let enricher = TestEnricher::new(RuntimeMode::Lambda, &[&variables("ipqs", &origin)[..], &[("IPQS_SEND", "ip_device")]].concat());
    assert_eq!(enricher.outcome("2001:4860:4860::8888").await, "fresh");
    assert_eq!(
        server.requests()[0].line,
        "GET /api/json/ip/ip%2Fqs/2001%3A4860%3A4860%3A%3A8888?strictness=0&fast=true&allow_public_access_points=true&user_agent=Mozilla%2F5.0%20%28X11%29%20Probe%2F1.0&user_language=nb-NO"
    );
    let narrow = TestEnricher::new(RuntimeMode::Lambda, &variables("ipqs", &origin));
    assert_eq!(narrow.outcome("8.8.8.8").await, "fresh");
    assert_eq!(server.requests()[1].line, "GET /api/json/ip/ip%2Fqs/8.8.8.8?strictness=0&fast=true&allow_public_access_points=true");
}

#[tokio::test]
async fn ipqs_answers_in_its_format() {
    let full = r#"{"success":true,"message":"Success","fraud_score":90,"ISP":"N/A","ASN":3356,"proxy":true,"vpn":true,"tor":false,"recent_abuse":true,
        "connection_type":"Corporate","abuse_events":["Open Proxies"],"request_id":"f"}"#;
    check_answer("ipqs", full, Risk::Score(85.0), &["proxy", "vpn", "recent_abuse", "Open Proxies"]).await;
    check_answer("ipqs", r#"{"success":true,"fraud_score":85}"#, Risk::Score(65.0), &[]).await;
    check_answer("ipqs", r#"{"success":true,"fraud_score":75}"#, Risk::Score(40.0), &[]).await;
    check_answer("ipqs", r#"{"success":true,"fraud_score":74}"#, Risk::Neutral, &[]).await;
    check_outcomes("ipqs", common()).await;
    check_outcomes(
        "ipqs",
        vec![
            (json(200, r#"{"success":false,"message":"Invalid or unauthorized key."}"#), "key_refused"),
            (json(200, r#"{"success":false,"message":"You have exceeded your request quota of 35 per day."}"#), "rate_limited"),
            (json(200, r#"{"success":false,"message":"You have insufficient credits to make this query."}"#), "no_credit"),
            (json(200, r#"{"success":false,"message":"?","fraud_score":0}"#), "bad_answer"),
            (json(200, r#"{"success":true}"#), "bad_answer"),
            (json(200, r#"{"success":true,"fraud_score":101}"#), "bad_answer"),
        ],
    )
    .await;
}

#[tokio::test]
async fn abuseipdb_answers_in_its_format() {
    let (outcome, request) = first_request("abuseipdb", r#"{"data":{"abuseConfidenceScore":0}}"#).await;
    assert_eq!(outcome, "fresh");
    assert_eq!((request.line.as_str(), request.header("key")), ("GET /api/v2/check?ipAddress=8.8.8.8&maxAgeInDays=30", Some("abuse-key")));
    let clean = r#"{"data":{"ipAddress":"8.8.8.8","isPublic":true,"ipVersion":4,"isWhitelisted":null,"abuseConfidenceScore":0,"countryCode":null,"usageType":null,
        "isp":"x","domain":null,"hostnames":[],"isTor":false,"totalReports":0,"numDistinctUsers":0,"lastReportedAt":null}}"#;
    check_answer("abuseipdb", clean, Risk::Neutral, &[]).await;
    let bad = r#"{"data":{"abuseConfidenceScore":100,"isWhitelisted":true,"usageType":"Data Center/Web Hosting/Transit","isTor":true}}"#;
    check_answer("abuseipdb", bad, Risk::Score(85.0), &["tor", "Data Center/Web Hosting/Transit"]).await;
    check_answer("abuseipdb", r#"{"data":{"abuseConfidenceScore":25}}"#, Risk::Score(40.0), &[]).await;
    check_outcomes("abuseipdb", common()).await;
    check_outcomes(
        "abuseipdb",
        vec![
            (json(401, r#"{"errors":[{"detail":"Authentication failed.","status":401}]}"#), "key_refused"),
            (json(422, r#"{"errors":[{"detail":"bad","status":422}]}"#), "http_4xx"),
            (answer(429, &[("retry-after", "29241"), ("x-ratelimit-remaining", "0")], "{}"), "rate_limited"),
            (json(200, r#"{"data":{}}"#), "bad_answer"),
            (json(200, r#"{"data":{"abuseConfidenceScore":null}}"#), "bad_answer"),
        ],
    )
    .await;
}

#[tokio::test]
async fn crowdsec_live_answers_in_its_format() {
    let (outcome, request) = first_request("crowdsec", "null").await;
    assert_eq!(outcome, "negative");
    assert_eq!((request.line.as_str(), request.header("x-api-key")), ("GET /v1/decisions?ip=8.8.8.8", Some("bouncer-key")));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("riskgate/")));
    let ban = r#"[{"duration":"1h","id":1,"origin":"CAPI","scenario":"a/b","scope":"Ip","type":"ban","value":"8.8.8.8"},
        {"duration":"1h","id":2,"origin":"cscli","scenario":"c/d","scope":"range","type":"captcha","value":"8.8.0.0/16"}]"#;
    check_answer("crowdsec", ban, Risk::Ban, &["a/b", "c/d"]).await;
    check_answer("crowdsec", r#"[{"type":"captcha","value":"8.8.8.8"}]"#, Risk::Review, &[]).await;
    check_outcomes("crowdsec", common()).await;
    check_outcomes("crowdsec", vec![(json(200, "[]"), "negative"), (json(200, r#"[{"duration":"-1m","type":"ban","value":"8.8.8.8"}]"#), "negative")]).await;
}

#[tokio::test]
async fn crowdsec_stream_keeps_the_set_in_memory() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /v1/decisions/stream?startup=true" => {
            json(200, r#"{"new":[{"id":1,"duration":"1h","scenario":"s","scope":"Ip","type":"ban","value":"8.8.8.8"}],"deleted":null}"#)
        }
        "GET /v1/decisions/stream?startup=false" => json(200, r#"{"new":null,"deleted":null}"#),
        _ => json(200, "null"),
    })
    .await;
    let enricher = TestEnricher::new(RuntimeMode::Sidecar, &variables("crowdsec", &server.origin()));
    assert_eq!(enricher.outcome("1.1.1.1").await, "negative", "queried until the set is loaded");
    for _ in 0..200 {
        if enricher.ask("8.8.8.8").await.answer.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let before = server.count();
    for _ in 0..100 {
        let result = enricher.ask("8.8.8.8").await;
        assert_eq!((result.outcome.as_label(), result.answer.map(|answer| answer.risk)), ("fresh", Some(Risk::Ban)));
        assert_eq!(enricher.outcome("8.8.8.9").await, "negative");
    }
    assert_eq!(server.count(), before, "no call");
}

/// A Local API with one decision on 8.8.8.8, which answers until it is switched off.
async fn local_api(duration: &'static str, is_down: &Arc<AtomicBool>) -> Server {
    let is_down = Arc::clone(is_down);
    Server::start(move |request| {
        let ban = format!(r#"[{{"id":1,"duration":"{duration}","scenario":"s","scope":"Ip","type":"ban","value":"8.8.8.8"}}]"#);
        match request.line.as_str() {
            _ if is_down.load(Ordering::Relaxed) => Act::Reset,
            "GET /v1/decisions/stream?startup=true" => json(200, format!(r#"{{"new":{ban},"deleted":null}}"#)),
            "GET /v1/decisions/stream?startup=false" => json(200, r#"{"new":null,"deleted":null}"#),
            _ => json(200, ban),
        }
    })
    .await
}

#[tokio::test]
async fn crowdsec_decisions_end_on_time_while_the_local_api_is_down() {
    for (runtime_mode, duration, ends) in
        [(RuntimeMode::Lambda, "150s", 150), (RuntimeMode::Sidecar, "150s", 150), (RuntimeMode::Lambda, "4h", 300), (RuntimeMode::Sidecar, "4h", 300)]
    {
        let is_down = Arc::<AtomicBool>::default();
        let server = local_api(duration, &is_down).await;
        let enricher = TestEnricher::new(runtime_mode, &variables("crowdsec", &server.origin()));
        let risk = async || enricher.ask("8.8.8.8").await.answer.map(|answer| answer.risk);
        while enricher.ask("8.8.8.8").await.outcome.as_label() == "negative" || !(runtime_mode == RuntimeMode::Lambda || server.count() > 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The set may still be on its way when one address was queried.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(risk().await, Some(Risk::Ban));
        is_down.store(true, Ordering::Relaxed);
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(70)).await;
        let stale = enricher.ask("8.8.8.8").await;
        assert_eq!((stale.outcome.as_label(), stale.answer.as_ref().map(|answer| answer.risk)), ("stale", Some(Risk::Ban)), "{runtime_mode:?} {duration}");
        assert!(stale.outdated.is_some_and(|outdated| (60..90).contains(&outdated.age.as_secs())), "{:?}", stale.outdated);
        assert_eq!(enricher.health().service(Service::Crowdsec).unread().map(|(_, age)| age.is_some()), Some(true));
        tokio::time::sleep(Duration::from_secs(ends - 100)).await;
        assert_eq!(risk().await, Some(Risk::Ban), "{runtime_mode:?} {duration}");
        tokio::time::sleep(Duration::from_secs(31)).await;
        let ended = enricher.ask("8.8.8.8").await;
        assert_eq!(ended.answer, None, "{runtime_mode:?} {duration}");
        assert!(ended.degraded().is_some(), "{runtime_mode:?} {duration}");
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(enricher.ask("8.8.8.8").await.outcome.cause().is_some(), "{runtime_mode:?} {duration}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn crowdsec_stream_that_never_came_is_a_failure() {
    for (act, expected) in [(json(403, r#"{"message":"access forbidden"}"#), "key_refused"), (Act::Reset, "reset")] {
        let server = Server::start(move |_| act.clone()).await;
        let enricher = TestEnricher::new(RuntimeMode::Sidecar, &variables("crowdsec", &server.origin()));
        assert_eq!(enricher.outcome("8.8.8.8").await, expected);
    }
}

#[tokio::test]
async fn crowdsec_cti_answers_in_its_format() {
    let (outcome, request) = first_request("crowdsec_cti", "{}").await;
    assert_eq!(outcome, "bad_answer");
    assert_eq!((request.line.as_str(), request.header("x-api-key")), ("GET /v2/smoke/8.8.8.8", Some("cti-key")));
    let malicious = r#"{"ip":"8.8.8.8","reputation":"malicious","confidence":"high","background_noise_score":10,"location":{"country":null,"latitude":null},
        "behaviors":[{"name":"http:bruteforce","label":"x"}],"classifications":{"false_positives":[],"classifications":[{"name":"community-blocklist"}]},
        "scores":{"overall":{"trust":5,"total":5}}}"#;
    check_answer("crowdsec_cti", malicious, Risk::Score(85.0), &["http:bruteforce", "community-blocklist"]).await;
    check_answer("crowdsec_cti", r#"{"reputation":"safe","confidence":"high"}"#, Risk::Neutral, &[]).await;
    check_outcomes("crowdsec_cti", common()).await;
    check_outcomes(
        "crowdsec_cti",
        vec![(json(404, r#"{"message":"IP address information not found"}"#), "negative"), (json(200, r#"{"reputation":"unknown"}"#), "negative")],
    )
    .await;
}

#[tokio::test]
async fn a_custom_service_is_called_as_configured() {
    let server = Server::json(r#"{"data":{"risk":0.25,"why":["a","b"]}}"#).await;
    let url = format!("{}/check/{{ip}}?ua={{userAgent}}", server.origin());
    let shape = [("HTTP_SCORE_POINTER", "/data/risk"), ("HTTP_SCORE_SCALE", "1"), ("HTTP_REASONS_POINTER", "/data/why"), ("HTTP_SEND", "ip_device")];
    let get = TestEnricher::new(
        RuntimeMode::Lambda,
        &[&variables("http", &url)[..], &shape, &[("HTTP_METHOD", "GET"), ("HTTP_HEADERS", "X-Key: k1\nX-Two: 2")]].concat(),
    );
    let result = get.ask("8.8.8.8").await.answer.expect("an answer");
    assert_eq!((result.risk, result.codes.as_slice()), (Risk::Score(25.0), ["a".into(), "b".into()].as_slice()));
    let request = &server.requests()[0];
    assert_eq!((request.line.as_str(), request.header("x-key")), ("GET /check/8.8.8.8?ua=Mozilla%2F5.0%20%28X11%29%20Probe%2F1.0", Some("k1")));
    let post = TestEnricher::new(RuntimeMode::Lambda, &[&variables("http", &url)[..], &shape[..3]].concat());
    assert_eq!(
        post.gather(described(r#"{"user":"ada","ip":"8.8.8.8","deviceId":"d","time":"2026-01-01T07:30:00Z"}"#)).await.services[0].outcome.as_label(),
        "fresh"
    );
    let request = &server.requests()[1];
    assert_eq!(request.line, "POST /check/8.8.8.8?ua=");
    assert_eq!(request.body, r#"{"ip":"8.8.8.8","userAgent":null,"deviceId":null,"hour":7}"#, "by default only the address is sent");
}

#[tokio::test]
async fn a_custom_service_must_answer_in_range() {
    check_answer("http", r#"{"score":33}"#, Risk::Score(33.0), &[]).await;
    check_outcomes("http", common()).await;
    check_outcomes(
        "http",
        [
            "null",
            "[]",
            "{}",
            r#"{"score":null}"#,
            r#"{"score":""}"#,
            r#"{"score":"inf"}"#,
            r#"{"score":"1e400"}"#,
            r#"{"score":"-1"}"#,
            r#"{"score":"NaN"}"#,
            r#"{"score":-1}"#,
            r#"{"score":101}"#,
            r#"{"score":1e400}"#,
            "NaN",
        ]
        .into_iter()
        .map(|body| (json(200, body), "bad_answer"))
        .collect(),
    )
    .await;
    check_outcomes("http", vec![(json(404, "{}"), "http_4xx"), (answer(200, &[], r#"{"score":0}"#), "fresh"), (json(200, r#"{"score":100}"#), "fresh")]).await;
}

#[tokio::test]
async fn null_states_nothing_in_every_field_that_an_answer_can_do_without() {
    let ipqs = r#"{"success":true,"message":null,"fraud_score":92,"proxy":true,"vpn":null,"tor":null,"active_vpn":null,"active_tor":null,"recent_abuse":null,
        "frequent_abuser":null,"high_risk_attacks":null,"bot_status":null,"abuse_events":null}"#;
    check_answer("ipqs", ipqs, Risk::Score(85.0), &["proxy"]).await;
    check_answer("ipqs", r#"{"success":true,"fraud_score":92,"abuse_events":[null,"a"]}"#, Risk::Score(85.0), &["a"]).await;
    check_answer("minfraud", r#"{"id":null,"risk_score":42.5,"ip_address":null,"warnings":null,"disposition":null}"#, Risk::Score(42.5), &[]).await;
    let inner = r#"{"risk_score":42.5,"ip_address":{"risk":null,"risk_reasons":null},"warnings":[null,{"code":null}],"disposition":{"action":null}}"#;
    check_answer("minfraud", inner, Risk::Score(42.5), &[]).await;
    check_answer("abuseipdb", r#"{"data":{"abuseConfidenceScore":100,"isTor":null,"usageType":null}}"#, Risk::Score(85.0), &[]).await;
    check_answer("crowdsec_cti", r#"{"reputation":"suspicious","confidence":null,"behaviors":null,"classifications":null}"#, Risk::Score(40.0), &[]).await;
    let inner = r#"{"reputation":"malicious","confidence":"high","behaviors":[null,{"name":null}],"classifications":{"classifications":null}}"#;
    check_answer("crowdsec_cti", inner, Risk::Score(85.0), &[]).await;
    let crowdsec = r#"[{"id":null,"origin":null,"type":"ban","scope":null,"value":"8.8.8.8","duration":null,"scenario":null,"uuid":null}]"#;
    check_answer("crowdsec", crowdsec, Risk::Ban, &[]).await;
}

#[tokio::test]
async fn numbers_and_flags_are_read_from_text() {
    check_answer("http", r#"{"score":"33.5"}"#, Risk::Score(33.5), &[]).await;
    check_answer("minfraud", r#"{"risk_score":"42.50"}"#, Risk::Score(42.5), &[]).await;
    check_answer("abuseipdb", r#"{"data":{"abuseConfidenceScore":"100","isTor":"1"}}"#, Risk::Score(85.0), &["tor"]).await;
    let ipqs = r#"{"success":"true","fraud_score":"92","proxy":"true","vpn":"0","tor":1,"active_vpn":0,"frequent_abuser":"Enterprise plus required."}"#;
    check_answer("ipqs", ipqs, Risk::Score(85.0), &["proxy", "tor"]).await;
    check_outcomes("ipqs", vec![(json(200, r#"{"success":true,"fraud_score":92,"vpn":"perhaps"}"#), "bad_answer")]).await;
    check_answer("crowdsec", r#"[{"id":"7","type":"ban","scope":"Ip","value":"8.8.8.8","duration":"1h"}]"#, Risk::Ban, &[]).await;
}

#[tokio::test]
async fn the_disposition_of_minfraud_is_a_reason() {
    let reject = r#"{"risk_score":1,"disposition":{"action":"reject","reason":"custom_rule"},"ip_address":{"risk_reasons":[{"code":"A"}]}}"#;
    check_answer("minfraud", reject, Risk::Score(1.0), &["reject", "A"]).await;
    check_answer("minfraud", r#"{"risk_score":1,"disposition":{"action":"accept"}}"#, Risk::Score(1.0), &[]).await;
}

#[tokio::test]
async fn no_service_is_called_about_a_non_public_address() {
    let server = Server::json(r#"{"score":1}"#).await;
    let enricher = TestEnricher::new(RuntimeMode::Lambda, &variables("http", &server.origin()));
    for ip in ["10.0.0.1", "127.0.0.1", "192.0.2.1", "fe80::1"] {
        assert_eq!(enricher.outcome(ip).await, "not_asked", "{ip}");
    }
    let evidence = enricher.gather(described(r#"{"user":"ada"}"#)).await;
    assert_eq!(evidence.services[0].outcome.as_label(), "not_asked");
    assert_eq!((server.count(), enricher.calls(Service::Http)), (0, 0));
}

#[tokio::test]
async fn assess_tries_one_service_and_shows_how_its_answer_is_read() {
    let server = Server::start(|request| {
        if request.line.starts_with("GET /api/json") {
            json(200, r#"{"success":true,"fraud_score":90,"tor":true}"#)
        } else {
            json(401, r#"{"errors":"no \u001b"}"#)
        }
    })
    .await;
    let origin = server.origin();
    let variables = [("PROVIDERS", "ipqs,abuseipdb"), ("IPQS_URL", &origin), ("IPQS_KEY", "k"), ("ABUSEIPDB_URL", &origin), ("ABUSEIPDB_KEY", "k")];
    let run = async |arguments: &[&str]| -> (Option<i32>, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command.args(["assess", "-"]).args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), *value)));
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("the binary starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A command that refuses its arguments ends before it reads.
        let _ = std::io::Write::write_all(&mut input, br#"{"user":"ada","ip":"8.8.8.8"}"#);
        drop(input);
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, output) = run(&["--provider", "ipqs", "--json"]).await;
    let output: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!((code, &output["outcome"], &output["risk"], &output["codes"]), (Some(0), &"fresh".into(), &85.0.into(), &serde_json::json!(["tor"])));
    assert_eq!(output["raw"], serde_json::json!({"success": true, "fraud_score": 90, "tor": true}), "its own words");
    assert_eq!((&output["status"], &output["read"]), (&200.into(), &serde_json::json!({"/success": true, "/fraud_score": 90})));
    let (_, output) = run(&["--provider", "ipqs"]).await;
    assert!(output.contains(r#"it answered 200: {"fraud_score":90,"#) && output.contains("/fraud_score is 90\n  counts as 85.0 of 100"), "{output}");
    let (code, output) = run(&["--provider", "abuseipdb"]).await;
    assert!(code == Some(0) && output.contains("key_refused") && output.contains("refuses the key"), "{output}");
    assert!(output.contains(r#"it answered 401: {"errors":"no \u001b"}"#), "its text, without control characters: {output}");
    assert_eq!((run(&["--provider", "minfraud"]).await.0, run(&["--provider", "nobody"]).await.0), (Some(2), Some(2)));
    assert_eq!(server.count(), 3, "one service each time");
}

#[tokio::test]
async fn a_refused_key_and_an_empty_account_are_in_readiness_and_metrics() {
    let refusing = Server::start(|_| json(401, "{}")).await;
    let empty = Server::start(|_| json(402, "{}")).await;
    let (a, b) = (refusing.origin(), empty.origin());
    let variables = [("PROVIDERS", "ipqs,abuseipdb"), ("IPQS_URL", &a), ("IPQS_KEY", "k"), ("ABUSEIPDB_URL", &b), ("ABUSEIPDB_KEY", "k")];
    let sidecar = Sidecar::start(&variables.map(|(name, value)| (name, value as &str))).await;
    let (status, body) = sidecar.post("/v1/assess", r#"{"user":"ada","ip":"8.8.8.8"}"#).await;
    assert_eq!((status, &body["degraded"]["causes"]), (200, &serde_json::json!({"ipqs": "key_refused", "abuseipdb": "no_credit"})));
    let ready = sidecar.stream("/readyz").await;
    assert_eq!(ready.status().as_u16(), 200, "a verdict is possible");
    let ready: serde_json::Value = serde_json::from_str(&ready.text().await.expect("a body")).expect("JSON");
    let degraded = ready["degraded"].as_array().expect("a list");
    let named: Vec<_> = degraded.iter().map(|part| (&part["what"], &part["why"])).collect();
    assert_eq!(named, [(&"ipqs".into(), &"key_refused".into()), (&"abuseipdb".into(), &"no_credit".into())], "{ready}");
    assert!(degraded.iter().all(|part| part["help"].is_string()), "{ready}");
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for line in [
        r#"riskgate_provider_duration_seconds_count{provider="ipqs",outcome="key_refused"} 1"#,
        r#"riskgate_provider_duration_seconds_count{provider="abuseipdb",outcome="no_credit"} 1"#,
        r#"riskgate_degraded_total{cause="key_refused",fallback="local"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_refused_key_is_reported_until_it_is_fixed() {
    let (refuse, fine) = (json(401, "{}"), json(200, r#"{"risk_score":1}"#));
    let is_fixed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = std::sync::Arc::clone(&is_fixed);
    let server = Server::start(move |_| if state.load(std::sync::atomic::Ordering::Relaxed) { fine.clone() } else { refuse.clone() }).await;
    let enricher = TestEnricher::new(RuntimeMode::Lambda, &variables("minfraud", &server.origin()));
    let fault = || enricher.health().service(Service::Minfraud).fault().map(|fault| fault.as_label());
    assert_eq!((enricher.outcome("8.8.8.1").await, fault()), ("key_refused", Some("key_refused")));
    is_fixed.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!((enricher.outcome("8.8.8.2").await, fault()), ("fresh", None));
}
