//! `riskgate assess`: inputs that are neither an event nor a request, and the explanation of a verdict.

use serde_json::Value;

use super::riskgate;

#[track_caller]
fn refused(input: &str, words: &[&str]) {
    let failed = riskgate(&["assess", "-"], &[], input);
    assert!(failed.code == 1 && failed.stdout.is_empty(), "{input}: {failed:?}");
    assert!(words.iter().all(|word| failed.stderr.contains(word)), "{input}: {}", failed.stderr);
}

#[test]
fn json_that_is_neither_event_nor_request_is_refused() {
    refused(r#"{"usr":"ada","ip":"8.8.8.8"}"#, &[r#"unknown field "usr"; did you mean "user"?"#, "triggerSource"]);
    refused(r#"{"User":"ada"}"#, &[r#"did you mean "user"?"#]);
    refused(r#"{"user":"ada","userAgnt":"x"}"#, &[r#"unknown field "userAgnt"; did you mean "userAgent"?"#]);
    refused(r#"{"user":"ada","colour":"red"}"#, &[r#"unknown field "colour""#, "user, client, pool"]);
    refused(r#"{"ip":"8.8.8.8"}"#, &[r#"needs the field "user""#]);
    refused(r#"{"triggerSorce":"PreAuthentication_Authentication","userName":"ada","request":{}}"#, &[r#"did you mean "triggerSource"?"#]);
    refused(r#"{"userName":"ada","request":{}}"#, &[r#"needs the field "triggerSource""#]);
    refused("{}", &[r#"needs the field "user""#]);
    refused("[]", &["not a JSON object"]);
    refused("user=ada", &["not JSON"]);
    refused(r#"{"user":"ada","ip":"8.8.8"}"#, &["ip is not an IPv4 or IPv6 address"]);
}

#[test]
fn what_decided_comes_first() {
    let input = r#"{"user":"ada","ip":"81.2.69.1"}"#;
    let denied = riskgate(&["assess", "-"], &[("DENY_CIDRS", "81.2.69.0/24")], input);
    let mut lines = denied.stdout.lines();
    assert_eq!(lines.next(), Some("deny: denied by DENY_CIDRS entry 81.2.69.0/24"));
    let score = lines.next().unwrap();
    assert!(score.ends_with("(low): deny_cidrs has precedence over the score"), "{score}");
    let json = riskgate(&["assess", "-", "--json"], &[("DENY_CIDRS", "81.2.69.0/24")], input).stdout;
    assert!(json.starts_with(r#"{"decision":"deny","decided_by":"deny_cidrs","list_entry":"81.2.69.0/24","#), "{json}");
    let monitored = riskgate(&["assess", "-"], &[("DENY_CIDRS", "81.2.69.0/24"), ("MODE", "monitor")], input).stdout;
    assert!(monitored.contains("action allow (monitor mode): monitor mode denies no sign-in"), "{monitored}");
    let allowed = riskgate(&["assess", "-"], &[], input).stdout;
    assert!(allowed.starts_with("allow: allowed, because the score is below REVIEW_AT=50\n"), "{allowed}");
}

#[test]
fn reasons_without_weight_are_not_in_the_sum() {
    for input in [r#"{"user":"ada"}"#, r#"{"user":"ada","ip":"8.8.8.8"}"#, r#"{"user":"ada","ip":"185.220.101.1","userAgent":"curl/8.4.0"}"#] {
        let text = riskgate(&["assess", "-"], &[], input).stdout;
        assert!(!text.contains("+0.00  ") && !text.contains("-0.00  "), "{text}");
        assert!(text.contains("without weight: cold_start"), "{text}");
    }
}

#[test]
fn tor_is_at_least_reviewed() {
    let text = riskgate(&["assess", "-", "--json"], &[("REVIEW_AT", "99"), ("DENY_AT", "100")], r#"{"user":"ada","ip":"185.220.101.1"}"#).stdout;
    let assessment: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&assessment["decision"], &assessment["decided_by"], &assessment["list_entry"]), (&"review".into(), &"review_floor".into(), &"tor".into()));
}
