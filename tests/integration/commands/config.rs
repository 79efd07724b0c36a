//! `riskgate config`: what differs from the defaults, and what one variable means.

use super::riskgate;

#[test]
fn changed_lists_only_what_differs_with_its_source() {
    assert_eq!(riskgate(&["config", "--changed"], &[], "").stdout, "every variable has its default\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-secret-of-some-length\n").unwrap();
    let variables = [("DENY_AT", "70"), ("DENY_AT__kiosk", "95"), ("REVIEW_AT", "50"), ("TOKEN_FILE", file.to_str().unwrap())];
    let changed = riskgate(&["config", "--changed"], &variables, "");
    assert_eq!(changed.code, 0, "{changed:?}");
    let expected = format!(
        "RISKGATE_DENY_AT = 70\n    default 80; set in the environment\nRISKGATE_DENY_AT__kiosk = 95\n    default 80; set in the environment\n\
         RISKGATE_TOKEN = ***\n    no default; set in the file {}\n",
        file.display()
    );
    assert_eq!(changed.stdout, expected);
    let json = riskgate(&["config", "--changed", "--json"], &variables, "").stdout;
    let settings: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(settings.iter().map(|setting| setting["source"].as_str().unwrap()).collect::<Vec<_>>(), ["environment", "environment", file.to_str().unwrap()]);
}

#[test]
fn changed_still_reports_faults() {
    let faulty = riskgate(&["config", "--changed"], &[("DENY_AT", "eighty")], "");
    assert_eq!(faulty.code, 2);
    assert!(faulty.stderr.contains("RISKGATE_DENY_AT: must be a number from 0 to 100"), "{}", faulty.stderr);
}

#[test]
fn explain_states_meaning_values_and_relations() {
    let explained = riskgate(&["config", "--explain", "deny_at"], &[("DENY_AT", "70"), ("DENY_AT__kiosk", "many")], "");
    assert_eq!(explained.code, 0, "{explained:?}");
    for part in [
        "RISKGATE_DENY_AT  (decision)",
        "accepts     a number from 0 to 100",
        "default     80",
        "current     70, set in the environment",
        "__kiosk     many, set in the environment; faulty: must be a number from 0 to 100",
        "per client  RISKGATE_DENY_AT__CLIENT_ID",
        "RISKGATE_REVIEW_AT",
    ] {
        assert!(explained.stdout.contains(part), "{part}: {}", explained.stdout);
    }
    let secret = riskgate(&["config", "--explain", "TOKEN"], &[("TOKEN", "a-secret-of-some-length")], "").stdout;
    assert!(secret.contains("***") && !secret.contains("a-secret"), "{secret}");
    let misspelt = riskgate(&["config", "--explain", "REVEIW_AT"], &[], "");
    assert!(misspelt.code == 2 && misspelt.stderr.contains("did you mean RISKGATE_REVIEW_AT?"), "{misspelt:?}");
}
