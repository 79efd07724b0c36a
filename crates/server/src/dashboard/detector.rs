//! The state of the attack detector, as the page shows it.

use serde_json::{Value, json};

use riskgate_activity::{Activity, DetectedAttack, attack_kind};
use riskgate_pipeline::pool_monitor::PoolStatus;
use riskgate_pool::{AttackSummary, Status};

/// The most severe state among pools; null if none was read. The pool is named only if there are several. With `activity`, the accounts that the
/// attack got into are named, as far as it has their sign-ins.
pub fn to_json(statuses: &[PoolStatus], activity: Option<&Activity>) -> Value {
    let Some(PoolStatus { pool, status, attack, read_at, .. }) = statuses.first() else { return Value::Null };
    let let_in = |attack: &AttackSummary| activity.map(|activity| activity.let_in(DetectedAttack { pool, since: attack.since, sources: &attack.cells }));
    let attack = attack.as_ref().map(|attack| {
        json!({
            "kind": attack_kind(attack.attempts.into(), attack.accounts),
            "since": attack.since, "detected": attack.detected, "attempts": attack.attempts, "expected": attack.expected, "accounts": attack.accounts,
            "networks": attack.networks, "unknown_names": attack.unknown, "let_in": attack.let_in, "sources": attack.cells,
            "accounts_let_in": let_in(attack),
        })
    });
    let under_attack = statuses.iter().filter(|status| status.status == Status::UnderAttack).count();
    json!({
        "state": status.as_label(), "pool": (statuses.len() > 1).then_some(pool), "pools_under_attack": under_attack, "read_at": read_at, "attack": attack,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_activity::activity::Counting;

    #[test]
    fn the_most_severe_pool_is_shown() {
        let attack = AttackSummary {
            since: 3_000,
            detected: 3_120,
            last_high: 3_180,
            attempts: 1_023,
            expected: 2.0,
            accounts: 988,
            networks: 9,
            unknown: 12,
            let_in: 3,
            cells: vec!["AS64500".into()],
        };
        let calm = PoolStatus { pool: "two".into(), status: Status::Calm, attack: None, read_at: 3_190, scale: None };
        assert_eq!(to_json(&[], None), Value::Null);
        let alone = to_json(std::slice::from_ref(&calm), None);
        assert_eq!(alone, json!({ "state": "calm", "pool": null, "pools_under_attack": 0, "read_at": 3_190, "attack": null }));
        let statuses = [PoolStatus { pool: "one".into(), status: Status::UnderAttack, attack: Some(attack), read_at: 3_191, scale: None }, calm];
        let shown = to_json(&statuses, None);
        assert_eq!((&shown["pool"], &shown["attack"]["kind"], &shown["attack"]["let_in"]), (&json!("one"), &json!("credential_stuffing"), &json!(3)));
        assert_eq!(shown["attack"]["accounts_let_in"], Value::Null, "without an identity no account is named");
        let mut activity = Activity::new(Counting::Caller);
        activity.record(
            r#"{"time":"1970-01-01T00:52:00Z","id":"a","decision":"review","score":60,"user":"taken","pool":"one","reasons":[{"code":"attack_wave","weight":2}]}"#,
        );
        activity.record(r#"{"time":"1970-01-01T00:52:01Z","trigger":"outcome","id":"a","outcome":"success"}"#);
        let shown = to_json(&statuses, Some(&activity));
        assert_eq!((&shown["attack"]["accounts_let_in"]["total"], &shown["attack"]["accounts_let_in"]["listed"][0]["user"]), (&json!(1), &json!("taken")));
    }
}
