//! The deployed template: every variable can be set from it, in the program's own words.

use std::collections::BTreeMap;

use riskgate_config::settings;

#[test]
fn every_variable_has_its_parameter() {
    let template = include_str!("../../../deploy/template.yaml");
    let missing: Vec<String> = settings(&BTreeMap::<String, String>::new())
        .into_iter()
        .filter(|setting| {
            let reaches_the_function = template.contains(&format!("\n          {}: !If [Set", setting.name));
            // As deploy/variables writes it: JSON's escapes, and the default behind the meaning.
            let meaning = serde_json::to_string(&format!("{}: {}", setting.name, setting.meaning)).expect("text is JSON");
            let is_described = template.contains(&format!("Description: {}", meaning.trim_end_matches('"')));
            !(reaches_the_function && is_described)
        })
        .map(|setting| setting.name)
        .collect();
    assert!(missing.is_empty(), "run: riskgate config --json | deploy/variables; the template lacks {missing:?}");
}
