//! Promised and realised false-positive rates of each pool, as the page shows them. They name no person.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use riskgate_calibration::{
    PoolScale,
    promise::{GroupPromises, Promise},
};
use riskgate_pipeline::pool_monitor::PoolStatus;
use serde_json::{Value, json};

use crate::dashboard::Dashboard;

/// `GET /v1/activity/calibration`: promised and realised rates of each pool. A log has none.
pub async fn calibration(State(dashboard): State<Arc<Dashboard>>) -> Response {
    Json(to_json(&dashboard.pool_statuses(), dashboard.model())).into_response()
}

fn to_json(statuses: &[PoolStatus], model: &str) -> Value {
    let mut scales: Vec<(&PoolStatus, &PoolScale)> = statuses.iter().filter_map(|status| Some((status, status.scale.as_deref()?))).collect();
    scales.sort_by_key(|(_, scale)| std::cmp::Reverse(scale.sign_ins()));
    // The pool is named only if there are several.
    let name = |status: &PoolStatus| (statuses.len() > 1).then(|| status.pool.clone());
    json!({ "model": model, "pools": scales.into_iter().map(|(status, scale)| pool_json(name(status).as_deref(), scale)).collect::<Vec<_>>() })
}

fn pool_json(name: Option<&str>, scale: &PoolScale) -> Value {
    let drift = scale.drift();
    json!({
        "pool": name, "scale": scale.source().as_label(), "sign_ins": scale.sign_ins(), "as_of": scale.counted_at(),
        "drift": { "from_shipped": round(drift.from_shipped), "from_week_before": drift.from_week_before.map(round) },
        "groups": scale.promises().iter().map(group_json).collect::<Vec<_>>(),
    })
}

fn group_json(group: &GroupPromises) -> Value {
    let promise = |promise: &Promise| {
        json!({
            "threshold": promise.threshold.as_label(), "score": promise.score, "promised": promise.promised,
            "realised": promise.realised.map(|rate| json!({ "share": rate.share, "low": rate.low, "high": rate.high })),
        })
    };
    json!({ "group": group.group, "sign_ins": group.sign_ins.round(), "thresholds": group.promises.iter().map(promise).collect::<Vec<_>>() })
}

/// Rounds points to a tenth.
fn round(points: f64) -> f64 {
    (points * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_calibration::{Calibrator, Group, SuccessCell, Thresholds, group::Basis};
    use riskgate_engine::score::scale::CalibrationSource;
    use riskgate_pool::Status;

    fn status(pool: &str, successes: u64) -> PoolStatus {
        let thresholds = Thresholds { review: 50.0, challenge: None, deny: 80.0, stopped_from: Some(80.0) };
        let mut calibrator = Calibrator::default().with_stop(Some(80.0), CalibrationSource::Shipped);
        let group = Group { basis: Basis::Established, country: None };
        calibrator.take_up(60, [(SuccessCell { group, cell: 0 }, successes - 3), (SuccessCell { group, cell: 24 }, 3)], []);
        let scale = Some(Arc::new(PoolScale::new(&calibrator, CalibrationSource::Shipped, &thresholds)));
        PoolStatus { pool: pool.into(), status: Status::Calm, attack: None, read_at: 100, scale }
    }

    #[test]
    fn rates_are_shown_and_what_is_stopped_is_not_observed() {
        let shown = to_json(&[status("one", 100)], "2026-01-01");
        let (pool, all) = (&shown["pools"][0], &shown["pools"][0]["groups"][0]);
        assert_eq!((&shown["model"], &pool["pool"], &pool["scale"]), (&json!("2026-01-01"), &Value::Null, &json!("shipped")));
        assert_eq!((&all["group"], &all["thresholds"][0]["threshold"], &all["thresholds"][1]["realised"]), (&json!("all"), &json!("review"), &Value::Null));
        let realised = &all["thresholds"][0]["realised"];
        assert!(realised["share"].as_f64().is_some_and(|share| (share - 0.03).abs() < 1e-9), "{shown}");
        assert!(realised["low"].as_f64() < Some(0.03) && realised["high"].as_f64() > Some(0.03));
    }

    #[test]
    fn several_pools_are_named_and_the_largest_is_first() {
        let mut without = status("three", 9);
        without.scale = None;
        let shown = to_json(&[status("one", 10), status("two", 1_000), without], "m");
        assert_eq!(shown["pools"].as_array().map(Vec::len), Some(2));
        assert_eq!(shown["pools"][0]["pool"], json!("two"));
        assert_eq!(to_json(&[], "m"), json!({ "model": "m", "pools": [] }));
    }
}
