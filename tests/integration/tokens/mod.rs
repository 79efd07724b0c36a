//! Tokens of a user pool, verified with its signing keys over HTTP.

mod authorizer;
mod signing_keys;
mod step_up;
mod verification;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use riskgate_config::Config;
use riskgate_engine::time::ClockReading;
use riskgate_http_client::{Client, Tls};
use riskgate_runtime::{clock, deadline::Deadline, health::Health, mode::RuntimeMode};
use riskgate_tokens::{TokenError, TokenUse, TokenVerifier, VerifiedToken};
use tokio::time::Instant;

use crate::issuer::Issuer;

/// A verifier of the issuer's tokens for the clients `web` and `ios`.
struct TestVerifier {
    verifier: TokenVerifier,
    health: Arc<Health>,
}

impl TestVerifier {
    fn new(issuer: &Issuer, variables: &[(&str, &str)]) -> Self {
        let url = issuer.url();
        let needed = [("STEP_UP_POOLS", url.as_str()), ("STEP_UP_CLIENTS", "web,ios"), ("CONNECT_TIMEOUT", "2s")];
        let map: BTreeMap<String, String> = needed.iter().chain(variables).map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        assert!(faults.is_empty(), "{faults:?}");
        let health = Arc::<Health>::default();
        let client = Client::new(config.step_up.connect_timeout, RuntimeMode::Sidecar, Tls::default());
        TestVerifier { verifier: TokenVerifier::new(&config.step_up, client, &health), health }
    }

    async fn verify(&self, token: &str, received: ClockReading) -> Result<VerifiedToken, TokenError> {
        self.verify_within(token, received, Duration::from_secs(20)).await
    }

    async fn verify_within(&self, token: &str, received: ClockReading, budget: Duration) -> Result<VerifiedToken, TokenError> {
        self.verifier.verify(token, &[TokenUse::Access], received, Deadline::after(Instant::now(), budget)).await
    }
}

/// The time at which the tests' tokens are issued, in seconds since 1970.
const NOW: i64 = 1_795_000_000;

/// The current time in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A time after `NOW`, in seconds.
fn after(seconds: i64) -> ClockReading {
    clock::at(Timestamp::from_second(NOW + seconds).expect("a time"))
}
