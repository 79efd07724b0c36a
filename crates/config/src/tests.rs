//! Tests of the complete configuration.

use std::{collections::BTreeMap, time::Duration};

use crate::{Config, env::ConfigError};
use riskgate_engine::service::Service;

fn read(pairs: &[(&str, &str)]) -> (Config, Vec<ConfigError>) {
    let map: BTreeMap<String, String> = pairs.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
    Config::read(&map)
}

#[track_caller]
fn check_faulty(pairs: &[(&str, &str)], variables: &[&str]) {
    let (_, faults) = read(pairs);
    let found: Vec<&str> = faults.iter().map(|fault| fault.variable.strip_prefix("RISKGATE_").expect("a prefix")).collect();
    assert_eq!(found, variables, "{faults:?}");
}

#[test]
fn all_faults_are_reported_at_once() {
    check_faulty(&[("DENY_AT", "eighty"), ("BUDGET", "2500"), ("MODE", "on")], &["BUDGET", "MODE", "DENY_AT"]);
}

#[test]
fn an_unknown_name_is_a_fault_with_a_suggestion() {
    let (_, faults) = read(&[("DENY_ATT", "80")]);
    assert!(faults[0].to_string().contains("RISKGATE_DENY_AT?"), "{faults:?}");
    check_faulty(&[("DENY_AT__web", "70"), ("MINFRAUD_WEIGHT", "2")], &[]);
    check_faulty(&[("BUDGET__web", "1s")], &["BUDGET__web"]);
}

#[test]
fn a_faulty_variable_takes_its_default() {
    let (config, _) = read(&[("DENY_AT", "900"), ("REVIEW_AT", "40")]);
    assert_eq!((config.decision.deny_at.default, config.decision.review_at.default), (80.0, 40.0));
}

#[test]
fn app_clients_can_override_a_variable() {
    let (config, _) = read(&[("DENY_AT", "70"), ("DENY_AT__kiosk", "95")]);
    assert_eq!((*config.decision.deny_at.of("kiosk"), *config.decision.deny_at.of("web")), (95.0, 70.0));
}

#[test]
fn unset_timeouts_shrink_and_set_timeouts_must_fit() {
    let (config, faults) = read(&[("BUDGET", "500ms")]);
    assert!(faults.is_empty(), "{faults:?}");
    assert!(config.budget.provider <= Duration::from_millis(450) && config.budget.connect <= config.budget.provider);
    check_faulty(&[("BUDGET", "500ms"), ("PROVIDER_TIMEOUT", "900ms")], &["PROVIDER_TIMEOUT"]);
    check_faulty(&[("BUDGET", "3s")], &["BUDGET"]);
    check_faulty(&[("REVIEW_AT", "90"), ("DENY_AT", "20")], &[]);
}

#[test]
fn the_challenge_threshold_is_between_the_others() {
    check_faulty(&[("CHALLENGE_AT", "50")], &[]);
    check_faulty(&[("CHALLENGE_AT", "80"), ("CHALLENGE_AT__kiosk", "off")], &[]);
    check_faulty(&[("CHALLENGE_AT", "49.9")], &["CHALLENGE_AT"]);
    check_faulty(&[("CHALLENGE_AT", "80.1")], &["CHALLENGE_AT"]);
    check_faulty(&[("CHALLENGE_AT__kiosk", "90")], &["CHALLENGE_AT__kiosk"]);
    check_faulty(&[("CHALLENGE_AT__kiosk", "90"), ("DENY_AT__kiosk", "95")], &[]);
    check_faulty(&[("CHALLENGE_AT", "high")], &["CHALLENGE_AT"]);
    check_faulty(&[("CHALLENGE_ACR_VALUES", "a b")], &["CHALLENGE_ACR_VALUES"]);
    // The general threshold does not fit the app client's own.
    let (config, faults) = read(&[("CHALLENGE_AT", "70"), ("DENY_AT__kiosk", "60")]);
    assert_eq!(
        faults[0].to_string(),
        "RISKGATE_CHALLENGE_AT: 70 must be between RISKGATE_REVIEW_AT (50) and RISKGATE_DENY_AT__kiosk (60) for app client kiosk"
    );
    assert_eq!((*config.decision.challenge_at.of("kiosk"), *config.decision.challenge_at.of("web")), (None, Some(70.0)));
}

#[test]
fn missing_settings_of_services_are_faults() {
    check_faulty(&[("PROVIDERS", "minfraud,http")], &["MINFRAUD_LICENSE_KEY", "MINFRAUD_ACCOUNT_ID", "HTTP_URL"]);
    let (config, faults) = read(&[("PROVIDERS", "http, http"), ("HTTP_URL", "http://127.0.0.1:9/x?ip={ip}")]);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(config.services.services.iter().map(|s| (s.service(), s.origin())).collect::<Vec<_>>(), [(Service::Http, "http://127.0.0.1:9")]);
}

#[test]
fn urls_to_internal_addresses_are_rejected() {
    for url in [
        "http://169.254.169.254/",
        "https://169.254.169.254/",
        "http://example.net/",
        "https://user:pass@host/",
        "ftp://host/",
        "host/path",
        "https://{ip}/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1]/",
        "https://100.100.100.200/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.254.0xa9fe/",
    ] {
        check_faulty(&[("PROVIDERS", "http"), ("HTTP_URL", url)], &["HTTP_URL", "HTTP_URL"]);
    }
    check_faulty(&[("PROVIDERS", "http"), ("HTTP_URL", "http://risk.internal:80/s"), ("ALLOW_PLAIN_HTTP", "http://risk.internal:80")], &[]);
}

#[test]
fn certificate_authorities_must_be_certificates() {
    let pem = |inside: &str| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
    for text in ["yes", "/etc/ssl/ca.pem", &pem("AAAA"), &pem("?"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        check_faulty(&[("SERVICES_CA", text)], &["SERVICES_CA"]);
    }
}

#[test]
fn a_shared_store_needs_a_pseudonym_key() {
    check_faulty(&[("STORE", "redis://127.0.0.1:1/0")], &["PSEUDONYM_KEY"]);
    check_faulty(&[("STORE", "redis://127.0.0.1:1/0"), ("PSEUDONYM_KEY", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")], &[]);
    check_faulty(&[("PSEUDONYM_KEY", "short:AAAA")], &["PSEUDONYM_KEY"]);
}

#[test]
fn values_are_read_from_files() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "0.01\n").expect("written");
    let (config, faults) = read(&[("PRIOR_FILE", &file.path().to_string_lossy())]);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(config.history.prior, 0.01);
    check_faulty(&[("PRIOR", "0.1"), ("PRIOR_FILE", "x")], &["PRIOR"]);
    check_faulty(&[("PRIOR_FILE", "/nonexistent/prior")], &["PRIOR_FILE"]);
}

#[test]
fn secrets_are_not_printed() {
    let (config, _) =
        read(&[("PROVIDERS", "ipqs"), ("IPQS_KEY", "s3cr3t-key"), ("TOKEN", "s3cr3t-token-long-enough"), ("HTTP_HEADERS", "X-Key: s3cr3t-header")]);
    assert!(!format!("{config:?}").contains("s3cr3t"));
    let invalid =
        [("TOKEN", "s3cr3t"), ("HTTP_HEADERS", "s3cr3t"), ("CONTEXT_KEYS", "k:HS256:s3cr3t"), ("PSEUDONYM_KEY", "k:s3cr3t"), ("STORE", "s3cr3t://s3cr3t@h")];
    let (config, faults) = read(&[&invalid[..], &[("PROVIDERS", "http"), ("HTTP_URL", "https://h/")]].concat());
    assert!(faults.len() >= invalid.len(), "{faults:?}");
    assert!(!format!("{faults:?} {config:?}").contains("s3cr3t"), "{faults:?}");
}
