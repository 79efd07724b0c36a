//! Settings of the HTTP sidecar.

use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};

use crate::env::{Reader, count_within};

/// Settings of the HTTP sidecar.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// The address that the sidecar listens on. `LISTEN`, default 127.0.0.1:8710.
    pub listen: SocketAddr,
    /// The address of the dashboard and `/metrics` when `listen` is not loopback. `ADMIN_LISTEN`, default 127.0.0.1:9710.
    pub admin_listen: SocketAddr,
    /// The bearer token that callers must send. `TOKEN`.
    pub token: Option<SecretString>,
    /// The number of trusted proxies, counted from the right of `X-Forwarded-For`. `TRUSTED_PROXIES`, default 0.
    pub trusted_proxies: usize,
    /// The maximum number of concurrent requests. `MAX_IN_FLIGHT`, default 512.
    pub max_in_flight: usize,
}

impl SidecarConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let address = |v: &str| v.parse::<SocketAddr>().map_err(|_| "must be an address and port, such as 127.0.0.1:8710".to_owned());
        let mut token = r.secret("TOKEN");
        if token.as_ref().is_some_and(|token| token.expose_secret().len() < 16) {
            r.add_fault("TOKEN", "must be at least 16 characters");
            token = None;
        }
        // A random token rejects every request until the configured one is resolved.
        if r.is_secret_pending("TOKEN") {
            token = Some(SecretString::from(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())));
        }
        let to_usize = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        SidecarConfig {
            listen: r.parsed("LISTEN", address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8710))),
            admin_listen: r.parsed("ADMIN_LISTEN", address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9710))),
            token,
            trusted_proxies: to_usize(r.parsed("TRUSTED_PROXIES", count_within(0, 16)).unwrap_or(0)),
            max_in_flight: to_usize(r.parsed("MAX_IN_FLIGHT", count_within(1, 100_000)).unwrap_or(512)),
        }
    }
}
