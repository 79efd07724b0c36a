//! The sidecar's JSON and the `X-Forwarded-For` lines before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riskgate_engine::client_ip::{ClientIp, forwarded::forwarded_for};
use riskgate_event::http;
use riskgate_fuzz::timed;
use riskgate_runtime::clock;

fuzz_target!(init: run(include_bytes!("../seeds/assess/full.json")), |bytes: &[u8]| timed(|| run(bytes)));

fn run(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let (lines, body) = bytes.split_at(split);
    let lines = String::from_utf8_lossy(lines);
    for hops in 0..4 {
        let forwarded = forwarded_for(lines.lines(), std::iter::empty(), hops).unwrap_or_default();
        assert!(hops > 0 || forwarded == ClientIp::Missing, "without a trusted proxy nothing is believed");
        match http::parse(body, forwarded, clock::read()) {
            Ok(sign_in) => assert!((1..=512).contains(&sign_in.person.name.expose().chars().count())),
            Err(bad) => assert!(bad.to_string().len() < 400, "a fault is one sentence"),
        }
    }
}
