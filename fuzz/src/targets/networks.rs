//! An mmdb file of any bytes: refused at start, or read for every address.

use std::{path::PathBuf, sync::LazyLock};

use riskgate_config::networks::NetworksConfig;
use riskgate_engine::{
    client_ip::ClientIp,
    context::{Context, Trust},
};
use riskgate_network::Networks;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory").keep();
    directory.join("fuzzed.mmdb")
});

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    std::fs::write(&*FILE, bytes).expect("written");
    let file = Some(FILE.clone());
    for config in [
        NetworksConfig { city_db: file.clone(), ..NetworksConfig::default() },
        NetworksConfig { asn_db: file.clone(), ..NetworksConfig::default() },
        NetworksConfig { anonymous_db: file.clone(), ..NetworksConfig::default() },
    ] {
        let (networks, faults) = Networks::open(&config, &std::sync::Arc::default());
        if !faults.is_empty() {
            continue;
        }
        for ip in ["1.1.1.1", "8.8.8.8", "81.2.69.160", "216.160.83.56", "2001:4860:4860::8888", "2a02:2770::1"] {
            let context = Context { trust: Trust::Trusted, ip: ClientIp::parse(ip), ..Context::default() };
            let _ = networks.facts(&context);
        }
    }
}
