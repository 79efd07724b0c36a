//! Signed contexts, through the event parser that Lambda uses.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use riskgate_config::{Config, telemetry::Audit};
use riskgate_engine::{
    client_ip::ClientIp,
    context::{BadContext, Trust},
    decision::{Rule, Verdict},
    personal::RawEvent,
    sign_in::SignIn,
    time::ClockReading,
};
use riskgate_event::{
    cognito::{self, Event},
    signed_context::{Audience, Claims, sign, verify},
};
use riskgate_history::{
    block_list::{BlockEntry, BlockEntryKind, BlockSubject},
    repository::learning::Learned,
};
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::mode::RuntimeMode;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixtures::{self, HOME, at, pre, reasons};

const POOL: &str = "eu-west-1_AbCdEf";
const CLIENT: &str = "web";
const SUB: &str = "4f3c5ab0-0000-4000-8000-000000000001";
const NOW: i64 = 1_795_300_000;
const SECRET: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];

/// The keys in force and the private halves that a signer holds.
struct Keys {
    config: Config,
    ed: Vec<u8>,
    ec: Vec<u8>,
    ec_public: Vec<u8>,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).expect("a key").as_ref().to_vec();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key").as_ref().to_vec();
        let ed_public = Ed25519KeyPair::from_pkcs8(&ed).expect("a key").public_key().as_ref().to_vec();
        let ec_public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ec, &random).expect("a key").public_key().as_ref().to_vec();
        let text =
            format!("old:HS256:{},hs:HS256:{},ed:EdDSA:{},ec:ES256:{}", B64.encode(OTHER), B64.encode(SECRET), B64.encode(&ed_public), B64.encode(&ec_public));
        let (config, faults) = Config::read(&BTreeMap::from([("RISKGATE_CONTEXT_KEYS".to_owned(), text)]));
        assert!(faults.is_empty(), "{faults:?}");
        Keys { config, ed, ec, ec_public }
    }

    /// The sign-in that an event with this token in `validationData.riskgate` becomes.
    fn read(&self, token: &str) -> SignIn {
        self.read_data(json!({ "riskgate": token, "ip": "8.8.4.4" }))
    }

    fn read_data(&self, data: Value) -> SignIn {
        self.read_event(self.event(data))
    }

    fn event(&self, data: Value) -> String {
        json!({
            "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": POOL, "userName": SUB,
            "callerContext": { "clientId": CLIENT },
            "request": { "userAttributes": { "sub": SUB, "email": "Anna@example.com", "phone_number": "+4790000000", "preferred_username": "anna" }, "validationData": data },
            "response": {},
        })
        .to_string()
    }

    fn read_event(&self, event: String) -> SignIn {
        let raw = RawEvent::new(serde_json::value::RawValue::from_string(event).expect("JSON"));
        let now = ClockReading { wall: Timestamp::from_second(NOW).expect("a time"), mono: Instant::now().into_std() };
        let sign_in = match cognito::parse(raw, now, &self.config.trust) {
            Ok(Event::PreAuthentication(sign_in)) => Some(Arc::unwrap_or_clone(sign_in)),
            Ok(_) | Err(_) => None,
        };
        sign_in.expect("a sign-in")
    }

    #[track_caller]
    fn check_refused(&self, token: &str, expected: BadContext) {
        let sign_in = self.read(token);
        let shown: String = token.chars().take(200).collect();
        assert_eq!(sign_in.context.trust, Trust::Bad(expected), "{shown}");
        assert_eq!(sign_in.context.ip, ClientIp::parse("8.8.4.4"), "a bad context is read as an unsigned one");
        assert!(sign_in.context.nonce.is_none());
        // The quickest of some; one that grows with the square of the token's length takes seconds.
        let quickest = (0..20).map(|_| {
            let started = Instant::now();
            let refused = verify(token, &sign_in.user, Audience { pool: POOL, client: CLIENT }, sign_in.received, &self.config.trust);
            let took = started.elapsed();
            assert_eq!(refused.err(), Some(expected), "{shown}");
            took
        });
        let quickest = quickest.min().expect("20 runs");
        assert!(quickest < Duration::from_secs(1), "{shown} took {quickest:?}");
    }

    #[track_caller]
    fn check_accepted(&self, token: &str) {
        let sign_in = self.read(token);
        assert_eq!(sign_in.context.trust, Trust::Signed);
        assert_eq!(sign_in.context.ip, ClientIp::parse("8.8.8.8"), "the signed address, not the unsigned one beside it");
        assert_eq!(sign_in.context.nonce.as_deref(), Some("nonce-0000000000000001"));
    }
}

fn claims() -> Claims {
    Claims {
        aud: POOL.to_owned(),
        client_id: CLIENT.to_owned(),
        sub: Some("anna@example.com".to_owned()),
        iat: NOW - 10,
        jti: "nonce-0000000000000001".to_owned(),
        ip: Some("8.8.8.8".to_owned()),
        user_agent: Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36".to_owned()),
        device_id: Some("device-1".to_owned()),
        accept_language: Some("nb-NO".to_owned()),
        timezone: Some("Europe/Oslo".to_owned()),
        ..Claims::default()
    }
}

fn hs256(claims: &Claims) -> String {
    sign(claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&SECRET)).expect("a token")
}

/// A token whose header and payload are any text at all, under a good HS256 signature of `key`.
fn raw_token(header: &str, payload: &str, key: &[u8]) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let signature = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), message.as_bytes());
    format!("{message}.{}", B64.encode(signature))
}

fn payload() -> String {
    serde_json::to_string(&claims()).expect("JSON")
}

const HEADER: &str = r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#;

#[test]
fn each_algorithm_is_accepted() {
    let keys = Keys::new();
    keys.check_accepted(&hs256(&claims()));
    keys.check_accepted(&sign(&claims(), "ed", Algorithm::EdDSA, &EncodingKey::from_ed_der(&keys.ed)).expect("a token"));
    keys.check_accepted(&sign(&claims(), "ec", Algorithm::ES256, &EncodingKey::from_ec_der(&keys.ec)).expect("a token"));
    let old = sign(&claims(), "old", Algorithm::HS256, &EncodingKey::from_secret(&OTHER)).expect("a token");
    keys.check_accepted(&old);
}

#[test]
fn every_claim_arrives() {
    let context = Keys::new().read(&hs256(&claims())).context;
    assert_eq!(context.user_agent.expect("an agent").browser, "Chrome");
    assert_eq!(context.device_id.expect("a device").expose(), "device-1");
    assert_eq!(context.accept_language.expect("languages").expose(), "nb-NO");
    assert_eq!(context.timezone.expect("a zone").expose(), "Europe/Oslo");
}

#[test]
fn the_subject_is_any_name_of_the_person() {
    let keys = Keys::new();
    for name in [SUB, "ANNA@EXAMPLE.COM", "+4790000000", "Anna"] {
        keys.check_accepted(&hs256(&Claims { sub: Some(name.to_owned()), ..claims() }));
    }
    keys.check_accepted(&hs256(&Claims { sub: None, ..claims() }));
    for name in ["bob@example.com", "", "anna@example.co", "anna@example.com "] {
        keys.check_refused(&hs256(&Claims { sub: Some(name.to_owned()), ..claims() }), BadContext::Subject);
    }
}

#[test]
fn a_context_is_for_one_pool_and_client() {
    let keys = Keys::new();
    keys.check_refused(&hs256(&Claims { aud: "eu-west-1_Other".to_owned(), ..claims() }), BadContext::Audience);
    keys.check_refused(&hs256(&Claims { client_id: "kiosk".to_owned(), ..claims() }), BadContext::Audience);
}

#[test]
fn age_is_counted_from_the_sign_in() {
    let keys = Keys::new();
    for iat in [NOW - 420, NOW, NOW + 120] {
        keys.check_accepted(&hs256(&Claims { iat, ..claims() }));
    }
    for iat in [NOW - 421, 0, -1, i64::MIN] {
        keys.check_refused(&hs256(&Claims { iat, ..claims() }), BadContext::Expired);
    }
    for iat in [NOW + 121, NOW * 1000, i64::MAX] {
        keys.check_refused(&hs256(&Claims { iat, ..claims() }), BadContext::Future);
    }
    keys.check_refused(&hs256(&Claims { exp: Some(NOW - 121), ..claims() }), BadContext::Expired);
    keys.check_accepted(&hs256(&Claims { exp: Some(NOW - 120), ..claims() }));
}

#[test]
fn forgeries_have_different_causes() {
    let keys = Keys::new();
    let good = hs256(&claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    // No algorithm, in the spellings that have fooled others.
    for alg in ["none", "None", "nOnE"] {
        keys.check_refused(&raw_token(&format!(r#"{{"alg":"{alg}","kid":"hs"}}"#), &payload(), &SECRET), BadContext::Unsecured);
        keys.check_refused(&format!("{}.{}.", B64.encode(format!(r#"{{"alg":"{alg}","kid":"hs"}}"#)), B64.encode(payload())), BadContext::Unsecured);
    }
    keys.check_refused(&raw_token(r#"{"alg":"none"}"#, &payload(), &SECRET), BadContext::Unsecured);
    // The public key of a pinned ES256 key, used as an HMAC secret.
    let confused = raw_token(r#"{"alg":"HS256","kid":"ec"}"#, &payload(), &keys.ec_public);
    keys.check_refused(&confused, BadContext::KeyConfusion);
    keys.check_refused(&raw_token(r#"{"alg":"HS512","kid":"ed"}"#, &payload(), &SECRET), BadContext::KeyConfusion);
    // It claims the pinned algorithm and is signed with another.
    keys.check_refused(&raw_token(r#"{"alg":"ES256","kid":"ec"}"#, &payload(), &keys.ec_public), BadContext::Signature);
    keys.check_refused(&raw_token(r#"{"alg":"EdDSA","kid":"ed"}"#, &payload(), &SECRET), BadContext::Signature);
    for alg in ["HS384", "HS512", "RS256", "ES256", "hs256"] {
        keys.check_refused(&raw_token(&format!(r#"{{"alg":"{alg}","kid":"hs"}}"#), &payload(), &SECRET), BadContext::Algorithm);
    }
    // Signed again by an attacker, by another valid key, or for an unknown key.
    keys.check_refused(&raw_token(HEADER, &payload(), &[9; 32]), BadContext::Signature);
    keys.check_refused(&raw_token(HEADER, &payload(), &OTHER), BadContext::Signature);
    keys.check_refused(&raw_token(r#"{"alg":"HS256","kid":"new"}"#, &payload(), &SECRET), BadContext::UnknownKey);
    keys.check_refused(&raw_token(r#"{"alg":"HS256"}"#, &payload(), &SECRET), BadContext::UnknownKey);
    // Claims exchanged under a good signature.
    let (header, _) = message.split_once('.').expect("two parts");
    let other = B64.encode(serde_json::to_string(&Claims { ip: Some("9.9.9.9".to_owned()), ..claims() }).expect("JSON"));
    keys.check_refused(&format!("{header}.{other}.{signature}"), BadContext::Signature);
}

/// What is known to have fooled verifiers, each with the name under which it is refused.
fn attacks(keys: &Keys) -> [(&'static str, String); 11] {
    let good = hs256(&claims());
    [
        ("alg_none", raw_token(r#"{"alg":"none","kid":"hs"}"#, &payload(), &SECRET)),
        ("algorithm", raw_token(r#"{"alg":"HS384","kid":"hs"}"#, &payload(), &SECRET)),
        ("key_confusion", raw_token(r#"{"alg":"HS256","kid":"ec"}"#, &payload(), &keys.ec_public)),
        ("malformed", good[..good.len() / 2].to_owned()),
        ("signature", raw_token(HEADER, &payload(), &[9; 32])),
        ("expired", hs256(&Claims { iat: NOW - 86_400, ..claims() })),
        ("future", hs256(&Claims { iat: NOW + 86_400, ..claims() })),
        ("audience", hs256(&Claims { aud: "eu-west-1_Other".to_owned(), ..claims() })),
        ("subject", hs256(&Claims { sub: Some("bob".to_owned()), ..claims() })),
        ("too_large", "A".repeat(1_000_000)),
        ("claims", raw_token(HEADER, &format!(r#"{{"aud":{}1{}}}"#, r#"{"a":"#.repeat(500), "}".repeat(500)), &SECRET)),
    ]
}

/// Each is refused and counted under its own name.
#[tokio::test]
async fn each_known_attack_has_its_own_cause_and_is_counted() {
    let keys = Keys::new();
    let mut config = keys.config.clone();
    config.telemetry.audit = Audit::Off;
    let instance = Instance::strict(config, Vec::new(), RuntimeMode::Sidecar).expect("an instance");
    let counted = |cause: &str| instance.telemetry.render().unwrap_or_default().contains(&format!("riskgate_bad_context_total{{cause=\"{cause}\"}} 1\n"));
    for (cause, token) in &attacks(&keys) {
        assert!(!counted(cause), "{cause} before");
        let sign_in = keys.read(token);
        let Trust::Bad(refused) = sign_in.context.trust else { panic!("{cause}: {:?}", sign_in.context.trust) };
        assert_eq!(refused.as_label(), *cause);
        keys.check_refused(token, refused);
        let deadline = instance.engine.deadline(Instant::now(), None);
        let assessment = instance.engine.assess(sign_in, deadline).await;
        instance.telemetry.record_assessment(&assessment, deadline).await;
        assert!(counted(cause), "{cause} after");
        assert!(reasons(&assessment).contains(&"bad_context"), "{cause}: {:?}", reasons(&assessment));
    }
}

/// The processor time of each refusal, and of reading the complete event, beside that of the dearest valid context. Medians of one run are
/// compared, because times differ between machines.
#[test]
fn no_attack_costs_much_more_than_a_valid_context() {
    let keys = Keys::new();
    let runs = if cfg!(debug_assertions) { 200 } else { 20_000 };
    println!("microseconds of the processor, {runs} runs: median, 99 %, most");
    // The signatures of public keys are the dearest to refuse.
    let others = Keys::new();
    let resigned = [
        ("EdDSA", sign(&claims(), "ed", Algorithm::EdDSA, &EncodingKey::from_ed_der(&others.ed)).expect("a token")),
        ("ES256", sign(&claims(), "ec", Algorithm::ES256, &EncodingKey::from_ec_der(&others.ec)).expect("a token")),
    ];
    let cost = |token: &str| {
        let sign_in = keys.read(token);
        costs(runs, || (), |()| verify(token, &sign_in.user, Audience { pool: POOL, client: CLIENT }, sign_in.received, &keys.config.trust))
    };
    let valid = [
        hs256(&claims()),
        sign(&claims(), "ed", Algorithm::EdDSA, &EncodingKey::from_ed_der(&keys.ed)).expect("a token"),
        sign(&claims(), "ec", Algorithm::ES256, &EncodingKey::from_ec_der(&keys.ec)).expect("a token"),
    ];
    let dearest = valid.iter().map(|token| cost(token)[0]).fold(0.0, f64::max);
    println!("the dearest valid context: {dearest:.1}");
    for (cause, token) in attacks(&keys).into_iter().chain(resigned) {
        let refusing = cost(&token);
        let event = keys.event(json!({ "riskgate": token, "ip": "8.8.4.4" }));
        let reading = costs(runs / 20, || event.clone(), |event| keys.read_event(event));
        println!(
            "{cause:>14}: refusing {:6.1} {:6.1} {:6.1}, reading {:7.1} {:7.1} {:7.1}",
            refusing[0], refusing[1], refusing[2], reading[0], reading[1], reading[2]
        );
        assert!(refusing[0] < 3.0 * dearest, "{cause}: {refusing:?}, the dearest valid context {dearest}");
    }
}

/// Microseconds of this thread's processor time that some work takes: the middle one of so many runs, that of the slowest hundredth, and the most.
fn costs<I, O>(runs: usize, prepare: impl Fn() -> I, work: impl Fn(I) -> O) -> [f64; 3] {
    let processor = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let run = |_| {
        let input = prepare();
        let before = processor();
        let output = work(input);
        let took = processor() - before;
        drop(output);
        took
    };
    let mut times: Vec<f64> = (0..runs).map(run).collect();
    times.sort_by(f64::total_cmp);
    [times[runs / 2], times[runs * 99 / 100], times[runs - 1]]
}

#[test]
fn every_flipped_bit_of_a_signature_is_seen() {
    let keys = Keys::new();
    for good in [
        hs256(&claims()),
        sign(&claims(), "ed", Algorithm::EdDSA, &EncodingKey::from_ed_der(&keys.ed)).expect("a token"),
        sign(&claims(), "ec", Algorithm::ES256, &EncodingKey::from_ec_der(&keys.ec)).expect("a token"),
    ] {
        let (message, signature) = good.rsplit_once('.').expect("three parts");
        let bytes = B64.decode(signature).expect("base64url");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let token = format!("{message}.{}", B64.encode(flipped));
            assert_eq!(keys.read(&token).context.trust, Trust::Bad(BadContext::Signature), "bit {bit} of {good}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let keys = Keys::new();
    let good = hs256(&claims());
    for end in 0..good.len() {
        assert!(matches!(keys.read(&good[..end]).context.trust, Trust::Bad(BadContext::Malformed | BadContext::Signature)), "{end}");
    }
}

#[test]
fn what_is_no_context_costs_nothing() {
    let keys = Keys::new();
    let good = hs256(&claims());
    let nested = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
    let deep = format!(r#"{{"ip":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "\u{0}".to_owned(),
        "æøå.æøå.æøå".to_owned(),
        format!("{good}."),
        format!("{good}.{good}"),
        format!("{good}="),
        good.replace('.', ".."),
        raw_token(&nested, &payload(), &SECRET),
        raw_token(r#"["HS256","hs"]"#, &payload(), &SECRET),
        raw_token("{}", &payload(), &SECRET),
        raw_token("[]", &payload(), &SECRET),
    ] {
        keys.check_refused(&token, BadContext::Malformed);
    }
    for token in ["A".repeat(1_000_000), ".".repeat(1_000_000), format!("{good}{}", "A".repeat(1_000_000)), "A".repeat(8 * 1024 + 1)] {
        keys.check_refused(&token, BadContext::TooLarge);
    }
    let array = format!(r#"["{POOL}","{CLIENT}","anna",{NOW},null,"nonce-0000000000000001"]"#);
    for payload in [&nested, &deep, "", "null", "[]", &array, r#""text""#, "{}"] {
        keys.check_refused(&raw_token(HEADER, payload, &SECRET), BadContext::Claims);
    }
    // A nested token: a context inside a context.
    keys.check_refused(&raw_token(r#"{"alg":"HS256","kid":"hs","cty":"JWT"}"#, &good, &SECRET), BadContext::Malformed);
    keys.check_refused(&raw_token(HEADER, &good, &SECRET), BadContext::Claims);
}

/// Escapes make a token of any length longer. Its length is measured before it is unescaped.
#[test]
fn a_token_is_measured_before_it_is_unescaped() {
    let keys = Keys::new();
    let long = hs256(&Claims { user_agent: Some("Mozilla/5.0 ".repeat(100)), ..claims() });
    keys.check_accepted(&long);
    let escaped: String = long.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let event = format!(
        r#"{{"triggerSource":"PreAuthentication_Authentication","userPoolId":"{POOL}","userName":"{SUB}","callerContext":{{"clientId":"{CLIENT}"}},"request":{{"userAttributes":{{"sub":"{SUB}","email":"anna@example.com"}},"validationData":{{"riskgate":"{escaped}"}}}},"response":{{}}}}"#
    );
    assert_eq!(keys.read_event(event).context.trust, Trust::Bad(BadContext::TooLarge));
}

#[test]
fn claims_are_strict() {
    let keys = Keys::new();
    let with = |from: &str, to: &str| {
        let changed = payload().replace(from, to);
        assert_ne!(changed, payload(), "{from} is not in the payload");
        raw_token(HEADER, &changed, &SECRET)
    };
    let iat = format!("\"iat\":{}", NOW - 10);
    for (from, to) in [
        // Twice, in either order, escaped or not.
        (r#""ip":"8.8.8.8""#, r#""ip":"8.8.8.8","ip":"9.9.9.9""#),
        (r#""ip":"8.8.8.8""#, r#""ip":"8.8.8.8","\u0069p":"9.9.9.9""#),
        (r#""aud""#, r#""aud":"x","aud""#),
        // Not requested.
        (r#""ip":"8.8.8.8""#, r#""ip":"8.8.8.8","country":"NO""#),
        (r#""ip":"8.8.8.8""#, r#""IP":"8.8.8.8""#),
        // Of another type.
        (r#""ip":"8.8.8.8""#, r#""ip":134744072"#),
        (r#""ip":"8.8.8.8""#, r#""ip":["8.8.8.8"]"#),
        (iat.as_str(), r#""iat":"1795299990""#),
        (iat.as_str(), r#""iat":1795299990.5"#),
        (iat.as_str(), r#""iat":1e308"#),
        (iat.as_str(), r#""iat":NaN"#),
        (iat.as_str(), r#""iat":null"#),
        (iat.as_str(), r#""iat":9223372036854775808"#),
        // Missing, or no nonce.
        (r#""jti":"nonce-0000000000000001","#, ""),
        (r#""nonce-0000000000000001""#, r#""short""#),
        (r#""nonce-0000000000000001""#, r#""nonce 0000000000000001""#),
        (r#""nonce-0000000000000001""#, r#""nonce-000000000000000\u0000""#),
        (r#""aud":"eu-west-1_AbCdEf","#, ""),
        (r#""client_id":"web","#, ""),
    ] {
        keys.check_refused(&with(from, to), BadContext::Claims);
    }
    // The order of claims and white space are the signer's own business.
    let value: Value = serde_json::from_str(&payload()).expect("JSON");
    keys.check_accepted(&raw_token(HEADER, &serde_json::to_string_pretty(&value).expect("JSON"), &SECRET));
}

#[test]
fn headers_are_strict() {
    let keys = Keys::new();
    for header in [
        r#"{"alg":"HS256","kid":"hs","crit":["exp"]}"#,
        r#"{"alg":"HS256","kid":"hs","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","kid":"hs","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"alg":"HS256","kid":"hs","jku":"https://example.com/keys"}"#,
        r#"{"alg":"HS256","kid":"hs","x5c":["AAAA"]}"#,
        r#"{"alg":"HS256","kid":"hs","zip":"DEF"}"#,
        r#"{"alg":"HS256","kid":"hs","kid":"old"}"#,
        r#"{"alg":"HS256","alg":"none","kid":"hs"}"#,
        r#"{"alg":["HS256"],"kid":"hs"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"kid":"hs"}"#,
    ] {
        keys.check_refused(&raw_token(header, &payload(), &SECRET), BadContext::Malformed);
    }
}

#[test]
fn a_value_that_is_no_string_is_a_bad_context() {
    let keys = Keys::new();
    for value in [json!(7), json!({}), json!([hs256(&claims())]), json!(true)] {
        assert_eq!(keys.read_data(json!({ "riskgate": value })).context.trust, Trust::Bad(BadContext::Malformed));
    }
    assert_eq!(keys.read_data(json!({ "riskgate": null })).context.trust, Trust::None);
}

#[test]
fn without_keys_nothing_is_signed() {
    let keys = Keys { config: Config::defaults(), ..Keys::new() };
    keys.check_refused(&hs256(&claims()), BadContext::UnknownKey);
}

#[test]
fn no_part_of_a_context_is_printed() {
    let keys = Keys::new();
    let token = hs256(&claims());
    let sign_in = keys.read(&token);
    let debug = format!("{sign_in:?} {:?}", keys.config.trust);
    for value in ["8.8.8.8", "8.8.4.4", "device-1", "Europe/Oslo", "anna", SUB, "Chrome/140", &token, &B64.encode(SECRET)] {
        assert!(!debug.contains(value), "{value} is in {debug}");
    }
}

/// What an operator decided for a range or a device holds for who is there, not for who copied what was signed there.
#[tokio::test]
async fn a_replayed_context_has_no_exemption_and_is_not_learned_from() {
    let backend = fixtures::memory();
    let keys = format!("hs:HS256:{}", B64.encode(SECRET));
    let engine = backend.engine(&[("CONTEXT_KEYS", &keys), ("DENY_AT", "100"), ("REVIEW_AT", "100")]);
    let repository = engine.repository();
    let exempt = BlockEntry { kind: BlockEntryKind::Exempt, until: None, note: None, message: None };
    let subjects = [BlockSubject::Range("84.208.0.0/16".parse().unwrap()), BlockSubject::Device(repository.subject_keys("device", HOME.device)[0].clone())];
    for (day, subject) in (0..).zip(subjects) {
        repository.block(&subject, &exempt).await.unwrap();
        let signed = Claims {
            aud: "pool".to_owned(),
            client_id: "app".to_owned(),
            iat: at(day, "07:00:00").as_second(),
            jti: format!("nonce-of-day-{day}-000"),
            ip: Some(HOME.ip.to_owned()),
            user_agent: Some(HOME.agent.to_owned()),
            device_id: Some(HOME.device.to_owned()),
            ..Claims::default()
        };
        let attempt = async |user: &str, time: &str| engine.attempt_by(pre(user, "app", json!({ "riskgate": hs256(&signed) })), at(day, time)).await;
        assert_eq!(attempt("ada", "07:00:00").await.decision.rule, Rule::Exempt, "{subject:?}");
        assert_eq!(engine.success("ada", "app", at(day, "07:00:01")).await, Ok(Learned::ProfileUpdated), "{subject:?}");
        let copied = attempt("bea", "07:01:00").await;
        assert_eq!(copied.decision.rule, Rule::Thresholds, "{subject:?}");
        assert_ne!(copied.decision.action, Verdict::Deny, "the password is checked");
        assert_eq!(engine.success("bea", "app", at(day, "07:01:01")).await, Ok(Learned::NotLearnable), "{subject:?}");
        repository.unblock(&subject).await.unwrap();
    }
    let export = repository.export("pool", "sub-bea", at(3, "00:00:00")).await.unwrap();
    assert_eq!(export["records"][0]["successes"], 0, "{export}");
}

/// Bound to no user or to this user: a context that was used before is a copy.
#[tokio::test]
async fn a_replayed_context_is_not_trusted() {
    let backend = fixtures::memory();
    let keys = format!("hs:HS256:{}", B64.encode(SECRET));
    let engine = backend.engine(&[("CONTEXT_KEYS", &keys), ("ALLOW_CIDRS", "84.208.0.0/16")]);
    engine.sign_in_daily("ada", 5).await;
    let time = at(5, "07:00:00");
    for sub in [Some("ada".to_owned()), None] {
        let signed = Claims {
            aud: "pool".to_owned(),
            client_id: "app".to_owned(),
            iat: time.as_second(),
            jti: format!("nonce-000000000000-{}", sub.is_some()),
            sub,
            ip: Some(HOME.ip.to_owned()),
            user_agent: Some(HOME.agent.to_owned()),
            device_id: Some(HOME.device.to_owned()),
            ..Claims::default()
        };
        let event = || pre("ada", "app", json!({ "riskgate": hs256(&signed) }));
        let first = engine.attempt_by(event(), time).await;
        assert!(first.decision.score.signals.lists.allowed, "{:?}", reasons(&first));
        let retried = engine.attempt_by(event(), Timestamp::from_second(time.as_second() + 6).unwrap()).await;
        assert!(retried.decision.score.signals.lists.allowed && !reasons(&retried).contains(&"replayed_context"), "Cognito's own retry");
        let copied = engine.attempt_by(event(), Timestamp::from_second(time.as_second() + 60).unwrap()).await;
        assert!(reasons(&copied).contains(&"replayed_context"), "{:?}", reasons(&copied));
        assert!(!copied.decision.score.signals.lists.allowed, "the allow list takes no copy");
        let lowered: Vec<_> = copied.decision.score.reasons.iter().filter(|reason| reason.weight < 0.0).collect();
        assert!(lowered.is_empty(), "{lowered:?}");
        assert!(copied.decision.score.value > first.decision.score.value, "{} {}", copied.decision.score.value, first.decision.score.value);
    }
}
