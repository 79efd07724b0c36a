//! The sidecar's JSON and the `X-Forwarded-For` lines before it.

use riskgate_engine::client_ip::{ClientIp, forwarded::forwarded_for};
use riskgate_event::http;
use riskgate_runtime::clock;

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let (lines, body) = bytes.split_at(split);
    let lines = String::from_utf8_lossy(lines);
    for hops in 0..4 {
        let forwarded = forwarded_for(lines.lines(), std::iter::empty(), hops).unwrap_or_default();
        assert!(hops > 0 || forwarded == ClientIp::Missing, "without a trusted proxy no header is used");
        match http::parse(body, forwarded, clock::read()) {
            Ok(sign_in) => assert!((1..=512).contains(&sign_in.user.name.expose().chars().count())),
            Err(bad) => assert!(bad.to_string().len() < 400, "a fault is one sentence"),
        }
    }
}
