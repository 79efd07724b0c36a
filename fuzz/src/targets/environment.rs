//! Variables of any name and value, one `NAME=value` per line: faults are listed, never with a secret value, and the default is used.

use std::collections::BTreeMap;

use riskgate_config::{Config, env::EnvSource};

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let map: BTreeMap<String, String> = text
        .split('\n')
        .filter_map(|line| line.split_once('='))
        // A file of the machine's is not the fuzzer's to open.
        .filter(|(name, _)| !name.ends_with("_FILE"))
        .map(|(name, value)| (format!("RISKGATE_{name}"), value.replace('\t', "\n")))
        .collect();
    let (config, faults) = Config::read(&map as &dyn EnvSource);
    assert!(config.budget.total.as_millis() < 3_000);
    assert!(config.budget.provider <= config.budget.total && config.budget.connect <= config.budget.provider && config.budget.store <= config.budget.total);
    assert!((0.0..=100.0).contains(&config.decision.deny_at.default));
    for fault in &faults {
        let text = fault.to_string();
        for secret in ["CONTEXT_KEYS", "PSEUDONYM_KEY", "TOKEN", "HTTP_HEADERS"] {
            let name = format!("RISKGATE_{secret}");
            let Some(value) = map.get(&name).filter(|value| value.len() > 24) else { continue };
            if text.contains(value.as_str()) {
                // The same text may be in a variable that is not secret, or in a sentence of riskgate: then it is printed with any secret.
                let without: BTreeMap<String, String> =
                    map.iter().map(|(own, other)| (own.clone(), if *own == name { "x".repeat(48) } else { other.clone() })).collect();
                let (_, faults) = Config::read(&without as &dyn EnvSource);
                assert!(faults.iter().any(|fault| fault.to_string().contains(value.as_str())), "{secret} is printed");
            }
        }
    }
}
