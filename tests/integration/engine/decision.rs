//! Who wins: lists, blocks, fallback, thresholds, monitor mode.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    context::{Context, Country, Trust},
    decision::{Decision, Rule, ScoreLevel, Verdict, policy::Policy},
    evidence::{
        Answer, Evidence, FailureReason, Outcome, Outdated, ProviderResult, Risk,
        history::{Block, BlockKind, History},
    },
    network_facts::NetworkFacts,
    score::Score,
    service::Service,
    sign_in::{SignIn, Trigger, User},
    signals::{Signals, lists::Lists},
};
use riskgate_event::response::{Assessment, http::AssessmentJson};
use riskgate_runtime::clock;

/// A sign-in of app client `web` from a trusted public address, with nothing else known and a score of 10.
struct Case {
    variables: Vec<(&'static str, &'static str)>,
    ip: &'static str,
    trust: Trust,
    score: f64,
    block: Option<BlockKind>,
    services: Vec<ProviderResult>,
    country: &'static str,
    asn: Option<u32>,
}

impl Default for Case {
    fn default() -> Self {
        Case { variables: Vec::new(), ip: "8.8.8.8", trust: Trust::Trusted, score: 10.0, block: None, services: Vec::new(), country: "", asn: None }
    }
}

impl Case {
    fn decide(self) -> Decision {
        let map: BTreeMap<String, String> = self.variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        assert!(faults.is_empty(), "{faults:?}");
        let sign_in = SignIn {
            raw: Default::default(),
            trigger: Trigger::PreAuthentication,
            received: clock::read(),
            at: clock::read().into(),
            pool: "pool".into(),
            client: "web".into(),
            tenant: None,
            user: User::default(),
            context: Context { trust: self.trust, ip: if self.ip.is_empty() { ClientIp::Missing } else { ClientIp::parse(self.ip) }, ..Context::default() },
        };
        let block = self.block.map(|kind| Block { kind, until: None, message: None });
        let evidence = Evidence {
            networks: NetworkFacts { country: Country::parse(self.country), asn: self.asn, ..NetworkFacts::default() },
            history: History { block, ..History::default() },
            services: self.services.into_iter().collect(),
            ..Evidence::of(sign_in)
        };
        let signals = Signals::read(Box::new(evidence), &Lists::new(&config.decision));
        let score = Score {
            signals,
            value: self.score,
            shipped: self.score,
            without_third_parties: self.score,
            on_pool_scale: None,
            calibration: Default::default(),
            log_odds: 0.0,
            base: 0.0,
            reasons: Default::default(),
            review_floor: None,
        };
        Policy::new(config.decision).decide(score)
    }
}

fn answered(outcome: Outcome, risk: Option<Risk>) -> ProviderResult {
    let answer = risk.map(|risk| Arc::new(Answer::new(risk, Default::default())));
    ProviderResult { service: Service::Http, outcome, answer, weight: 1.0, tier: None, took: Duration::ZERO, outdated: None }
}

fn failed() -> ProviderResult {
    answered(Outcome::Failed(FailureReason::Timeout), None)
}

#[track_caller]
fn check(case: Case, rule: Rule, verdict: Verdict) {
    let decision = case.decide();
    assert_eq!((decision.rule, decision.verdict), (rule, verdict));
    assert_eq!(decision.action, verdict, "enforced");
}

#[test]
fn thresholds_are_reached_by_equality() {
    for (score, verdict, level) in [
        (49.9, Verdict::Allow, ScoreLevel::Low),
        (50.0, Verdict::Review, ScoreLevel::Medium),
        (79.9, Verdict::Review, ScoreLevel::Medium),
        (80.0, Verdict::Deny, ScoreLevel::High),
    ] {
        let decision = Case { score, ..Case::default() }.decide();
        assert_eq!((decision.verdict, decision.level, decision.rule), (verdict, level, Rule::Thresholds), "{score}");
    }
}

#[test]
fn challenges_are_between_review_and_deny() {
    let with = |score, variables: &[(&'static str, &'static str)]| Case { score, variables: variables.to_vec(), ..Case::default() }.decide();
    let on = [("CHALLENGE_AT", "70")];
    for (score, verdict, level) in [
        (69.9, Verdict::Review, ScoreLevel::Medium),
        (70.0, Verdict::Challenge, ScoreLevel::Medium),
        (79.9, Verdict::Challenge, ScoreLevel::Medium),
        (80.0, Verdict::Deny, ScoreLevel::High),
    ] {
        let decision = with(score, &on);
        assert_eq!((decision.verdict, decision.action, decision.level, decision.rule), (verdict, verdict, level, Rule::Thresholds), "{score}");
        assert_eq!(decision.acr_values.is_some(), verdict == Verdict::Challenge, "{score}");
        let monitored = with(score, &[on[0], ("MODE", "monitor")]);
        assert_eq!((monitored.verdict, monitored.action, monitored.acr_values), (verdict, Verdict::Allow, None), "{score}");
    }
    assert_eq!(with(75.0, &[]).verdict, Verdict::Review, "unset");
    assert_eq!(with(75.0, &[on[0], ("CHALLENGE_AT__web", "off")]).verdict, Verdict::Review, "off for this app client");
    assert_eq!(with(75.0, &[("CHALLENGE_AT__web", "75")]).verdict, Verdict::Challenge, "on for this app client");
    assert_eq!(with(80.0, &[("CHALLENGE_AT", "80")]).verdict, Verdict::Deny, "equal thresholds");
    assert_eq!(with(50.0, &[("CHALLENGE_AT", "50")]).verdict, Verdict::Challenge, "no review in between");
}

#[test]
fn a_challenge_names_the_levels_that_answer_it() {
    let json = |variables: Vec<(&'static str, &'static str)>| {
        let decision = Case { score: 75.0, variables, ..Case::default() }.decide();
        let assessment = Assessment { id: "id".into(), decision, elapsed: Duration::ZERO, evaluation: Duration::ZERO, model: "model".into() };
        serde_json::from_slice::<serde_json::Value>(&AssessmentJson(&assessment).to_bytes()).expect("JSON")
    };
    let challenged = json(vec![("CHALLENGE_AT", "70")]);
    assert_eq!((&challenged["decision"], &challenged["action"], &challenged["level"]), (&"challenge".into(), &"challenge".into(), &"medium".into()));
    assert_eq!(challenged["challenge"], serde_json::json!({ "acr_values": ["urn:cognito:loa:4", "urn:cognito:loa:3"], "max_age": 0 }));
    let named = json(vec![("CHALLENGE_AT", "70"), ("CHALLENGE_ACR_VALUES", "gold, silver")]);
    assert_eq!(named["challenge"]["acr_values"], serde_json::json!(["gold", "silver"]));
    let monitored = json(vec![("CHALLENGE_AT", "70"), ("MODE", "monitor")]);
    assert_eq!((&monitored["decision"], &monitored["action"], monitored.get("challenge")), (&"challenge".into(), &"allow".into(), None));
}

#[test]
fn an_outage_lifts_no_challenge() {
    let case = |fallback, score| Case { variables: vec![("FALLBACK", fallback), ("CHALLENGE_AT", "70")], services: vec![failed()], score, ..Case::default() };
    // Midway between CHALLENGE_AT and DENY_AT.
    check(case("local", 69.9), Rule::Fallback, Verdict::Review);
    check(case("local", 70.0), Rule::Fallback, Verdict::Challenge);
    check(case("local", 75.0), Rule::Fallback, Verdict::Deny);
    check(case("allow", 69.9), Rule::Fallback, Verdict::Allow);
    check(case("allow", 70.0), Rule::Fallback, Verdict::Challenge);
    check(case("allow", 80.0), Rule::Fallback, Verdict::Deny);
    check(case("deny", 0.0), Rule::Fallback, Verdict::Deny);
    let stricter = Case { variables: vec![("CHALLENGE_AT", "70"), ("DEGRADED_DENY_AT", "60")], services: vec![failed()], score: 60.0, ..Case::default() };
    check(stricter, Rule::Fallback, Verdict::Deny);
}

#[test]
fn rules_have_their_order_of_precedence() {
    let all = [("DENY_CLIENTS", "web"), ("DENY_CIDRS", "8.8.8.0/24"), ("ALLOW_CIDRS", "8.8.0.0/16"), ("FALLBACK", "deny")];
    let with = |from: usize| all[from..].to_vec();
    check(Case { variables: with(0), block: Some(BlockKind::Exempt), ..Case::default() }, Rule::Exempt, Verdict::Allow);
    check(Case { variables: with(0), block: Some(BlockKind::Suspended), ..Case::default() }, Rule::Suspended, Verdict::Deny);
    check(Case { variables: with(0), ..Case::default() }, Rule::DenyClients, Verdict::Deny);
    check(Case { variables: with(1), ..Case::default() }, Rule::DenyCidrs, Verdict::Deny);
    check(Case { variables: with(2), services: vec![failed()], score: 99.0, ..Case::default() }, Rule::AllowCidrs, Verdict::Allow);
    check(Case { variables: with(3), services: vec![failed()], score: 1.0, ..Case::default() }, Rule::Fallback, Verdict::Deny);
}

fn at(country: &'static str, asn: u32, variables: Vec<(&'static str, &'static str)>) -> Case {
    Case { variables, country, asn: Some(asn), score: 1.0, ..Case::default() }
}

#[test]
fn country_and_as_lists_have_their_place_in_the_order() {
    let all = [
        ("DENY_CIDRS", "8.8.8.0/24"),
        ("ALLOW_CIDRS", "8.8.0.0/16"),
        ("DENY_ASNS", "AS15169, 64500"),
        ("ALLOW_ASNS", "15169"),
        ("DENY_COUNTRIES", "us,uk"),
        ("NO_IP", "deny"),
        ("FALLBACK", "deny"),
    ];
    let expected = [Rule::DenyCidrs, Rule::AllowCidrs, Rule::DenyAsns, Rule::AllowAsns, Rule::DenyCountries];
    for (from, rule) in expected.into_iter().enumerate() {
        let verdict = if matches!(rule, Rule::AllowCidrs | Rule::AllowAsns) { Verdict::Allow } else { Verdict::Deny };
        check(Case { services: vec![failed()], ..at("US", 15_169, all[from..].to_vec()) }, rule, verdict);
    }
    check(at("GB", 1, all[4..5].to_vec()), Rule::DenyCountries, Verdict::Deny);
    check(at("NO", 1, all[2..5].to_vec()), Rule::Thresholds, Verdict::Allow);
    check(Case { ip: "", ..at("US", 1, all[4..].to_vec()) }, Rule::DenyCountries, Verdict::Deny);
    check(Case { block: Some(BlockKind::Exempt), ..at("US", 15_169, all.to_vec()) }, Rule::Exempt, Verdict::Allow);
}

#[test]
fn country_and_as_lists_can_differ_by_app_client() {
    let both = || vec![("DENY_COUNTRIES", "US"), ("DENY_COUNTRIES__web", "none"), ("DENY_ASNS__web", "64500"), ("ALLOW_ASNS__other", "64500")];
    check(at("US", 1, both()), Rule::Thresholds, Verdict::Allow);
    check(at("US", 64_500, both()), Rule::DenyAsns, Verdict::Deny);
    check(at("US", 1, vec![("DENY_COUNTRIES__other", "US")]), Rule::Thresholds, Verdict::Allow);
}

#[test]
fn an_unsigned_address_reaches_deny_asns_but_never_allow_asns() {
    let unsigned = |variables| Case { trust: Trust::Unsigned, score: 90.0, ..at("US", 15_169, variables) };
    check(unsigned(vec![("ALLOW_ASNS", "15169")]), Rule::Thresholds, Verdict::Deny);
    check(unsigned(vec![("DENY_ASNS", "15169")]), Rule::DenyAsns, Verdict::Deny);
    check(unsigned(vec![("DENY_COUNTRIES", "US")]), Rule::DenyCountries, Verdict::Deny);
}

#[test]
fn the_list_entry_that_decided_is_named_and_monitor_mode_denies_no_sign_in() {
    for (list, value, entry) in [
        ("DENY_COUNTRIES", "NO,US", "US"),
        ("DENY_ASNS", "15169", "AS15169"),
        ("DENY_CIDRS", "8.0.0.0/8,8.8.8.0/24", "8.8.8.0/24"),
        ("DENY_CLIENTS", "web", "web"),
    ] {
        let decision = at("US", 15_169, vec![(list, value), ("MODE", "monitor")]).decide();
        assert_eq!((decision.verdict, decision.action, decision.list_entry().as_deref()), (Verdict::Deny, Verdict::Allow, Some(entry)), "{list}");
    }
    assert_eq!(at("US", 1, Vec::new()).decide().list_entry(), None);
}

#[test]
fn what_is_no_country_or_as_number_is_a_fault_of_its_variable() {
    for (name, value) in [
        ("DENY_COUNTRIES", "USA"),
        ("DENY_COUNTRIES", "XX"),
        ("DENY_COUNTRIES__web", "DE,Germany"),
        ("DENY_ASNS", "0"),
        ("ALLOW_ASNS", "ASX"),
        ("DENY_ASNS", "4294967296"),
    ] {
        let (_, faults) = Config::read(&BTreeMap::from([(format!("RISKGATE_{name}"), value.to_owned())]));
        assert!(faults.len() == 1 && faults[0].variable == format!("RISKGATE_{name}"), "{name}={value}: {faults:?}");
    }
}

#[test]
fn an_unsigned_address_reaches_the_deny_list_but_never_the_allow_list() {
    for trust in [Trust::Unsigned, Trust::Bad(riskgate_engine::context::BadContext::Signature)] {
        check(Case { variables: vec![("ALLOW_CIDRS", "8.8.8.8")], trust, score: 90.0, ..Case::default() }, Rule::Thresholds, Verdict::Deny);
        check(Case { variables: vec![("DENY_CIDRS", "8.8.8.8")], trust, ..Case::default() }, Rule::DenyCidrs, Verdict::Deny);
    }
}

#[test]
fn a_ban_is_a_deny_list_hit_and_a_captcha_a_review() {
    let ban = || vec![answered(Outcome::Fresh, Some(Risk::Ban))];
    check(Case { services: ban(), variables: vec![("ALLOW_CIDRS", "8.8.8.8")], ..Case::default() }, Rule::DenyCidrs, Verdict::Deny);
    check(Case { services: vec![answered(Outcome::Hit, Some(Risk::Review))], ..Case::default() }, Rule::ReviewFloor, Verdict::Review);
    let over = Case { services: vec![answered(Outcome::Hit, Some(Risk::Review))], score: 60.0, ..Case::default() };
    check(over, Rule::Thresholds, Verdict::Review);
}

#[test]
fn a_service_of_weight_0_decides_nothing() {
    for risk in [Risk::Ban, Risk::Review] {
        let services = vec![ProviderResult { weight: 0.0, ..answered(Outcome::Fresh, Some(risk)) }];
        check(Case { services, ..Case::default() }, Rule::Thresholds, Verdict::Allow);
    }
}

#[test]
fn without_an_address_the_choice_is_the_operators() {
    for ip in ["", "10.0.0.1", "127.0.0.1"] {
        check(Case { ip, ..Case::default() }, Rule::Thresholds, Verdict::Allow);
        check(Case { ip, variables: vec![("NO_IP", "deny")], ..Case::default() }, Rule::NoIp, Verdict::Deny);
        check(Case { ip, variables: vec![("NO_IP__web", "allow")], score: 99.0, ..Case::default() }, Rule::NoIp, Verdict::Allow);
    }
}

#[test]
fn forced_failures_never_help_an_attacker() {
    let case = |fallback, score| Case { variables: vec![("FALLBACK", fallback)], services: vec![failed(), failed()], score, ..Case::default() };
    // Midway between 50 and 80, and so stricter than DENY_AT.
    check(case("local", 64.9), Rule::Fallback, Verdict::Review);
    check(case("local", 65.0), Rule::Fallback, Verdict::Deny);
    check(case("allow", 79.9), Rule::Fallback, Verdict::Allow);
    check(case("allow", 80.0), Rule::Fallback, Verdict::Deny);
    check(case("deny", 0.0), Rule::Fallback, Verdict::Deny);
    let laxer = Case { variables: vec![("DEGRADED_DENY_AT", "95")], services: vec![failed()], score: 80.0, ..Case::default() };
    check(laxer, Rule::Fallback, Verdict::Deny);
}

#[test]
fn fallback_waits_until_nothing_is_left() {
    for outcome in [Outcome::Fresh, Outcome::Hit, Outcome::Stale, Outcome::Negative] {
        let services = vec![failed(), answered(outcome, None)];
        check(Case { variables: vec![("FALLBACK", "deny")], services, ..Case::default() }, Rule::Thresholds, Verdict::Allow);
    }
    let not_due = vec![answered(Outcome::NotCalled, None)];
    check(Case { variables: vec![("FALLBACK", "deny")], services: not_due, ..Case::default() }, Rule::Thresholds, Verdict::Allow);
    check(Case { variables: vec![("FALLBACK", "deny")], ..Case::default() }, Rule::Thresholds, Verdict::Allow);
}

#[test]
fn monitor_mode_denies_only_suspended_users() {
    let monitored = |case: Case| Case { variables: [case.variables, vec![("MODE", "monitor")]].concat(), ..case }.decide();
    let denied = monitored(Case { score: 99.0, ..Case::default() });
    assert_eq!((denied.verdict, denied.action), (Verdict::Deny, Verdict::Allow));
    let listed = monitored(Case { variables: vec![("DENY_CLIENTS", "web")], ..Case::default() });
    assert_eq!((listed.verdict, listed.action), (Verdict::Deny, Verdict::Allow));
    let suspended = monitored(Case { block: Some(BlockKind::Suspended), ..Case::default() });
    assert_eq!((suspended.verdict, suspended.action), (Verdict::Deny, Verdict::Deny));
}

#[test]
fn without_a_score_local_is_deny() {
    for (fallback, verdict) in [("local", Verdict::Deny), ("allow", Verdict::Allow), ("deny", Verdict::Deny)] {
        let map = BTreeMap::from([("RISKGATE_FALLBACK".to_owned(), fallback.to_owned())]);
        let (config, _) = Config::read(&map);
        let decision = Case::default().decide();
        let score = Score { value: 100.0, ..decision.score };
        assert_eq!(Policy::new(config.decision).decide_without_score(score).verdict, verdict, "{fallback}");
    }
}

#[test]
fn outdated_decisions_act_and_are_degraded_with_their_cause_and_age() {
    let outdated = Some(Outdated { cause: FailureReason::Connect, age: Duration::from_millis(70_900) });
    let ban = ProviderResult { service: Service::Crowdsec, outdated, ..answered(Outcome::Stale, Some(Risk::Ban)) };
    let decision = Case { services: vec![ban], ..Case::default() }.decide();
    assert_eq!((decision.rule, decision.verdict), (Rule::DenyCidrs, Verdict::Deny));
    let assessment = Assessment { id: "id".into(), decision, elapsed: Duration::ZERO, evaluation: Duration::ZERO, model: "model".into() };
    let json: serde_json::Value = serde_json::from_slice(&AssessmentJson(&assessment).to_bytes()).expect("JSON");
    assert_eq!(json["evidence"]["crowdsec"], "stale");
    assert_eq!(json["degraded"], serde_json::json!({ "causes": { "crowdsec": "connect" }, "ages_s": { "crowdsec": 70 }, "fallback": null }));
}
