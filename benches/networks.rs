//! The cost of network lookups: `cargo bench --features criterion --bench networks`.
//!
//! Random addresses come from a fixed seed and cover the public address space, so most lookups read cold parts of the database, as
//! sign-ins do. The warm cases look up one address repeatedly.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand::{Rng, RngExt, SeedableRng};
use riskgate_config::networks::NetworksConfig;
use riskgate_engine::{client_ip::ClientIp, context::Context};
use riskgate_network::Networks;

/// The number of random addresses.
const ADDRESSES: usize = 4096;

/// Draws contexts with public addresses.
fn contexts(draw: impl FnMut(&mut rand_chacha::ChaCha8Rng) -> IpAddr) -> Vec<Context> {
    let mut draw = draw;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    std::iter::repeat_with(|| ClientIp::classify(draw(&mut random)))
        .filter(|ip| ip.public().is_some())
        .take(ADDRESSES)
        .map(|ip| Context { ip, ..Context::default() })
        .collect()
}

fn look_up_networks(bench: &mut Criterion) {
    let fixture = |name: &str| Some(PathBuf::from("tests/fixtures/mmdb").join(name));
    let custom = NetworksConfig {
        city_db: fixture("GeoIP2-City-Test.mmdb"),
        asn_db: fixture("GeoLite2-ASN-Test.mmdb"),
        anonymous_db: fixture("GeoIP2-Anonymous-IP-Test.mmdb"),
    };
    let open = |config: &NetworksConfig| Networks::open(config, &Arc::default()).0;
    let bundled = open(&NetworksConfig::default());
    let custom = open(&custom);

    let v4 = contexts(|random| IpAddr::V4(Ipv4Addr::from_bits(random.next_u32())));
    let v6 = contexts(|random| IpAddr::V6(Ipv6Addr::from_bits((0x2a << 120) | (u128::from(random.random::<u64>()) << 56))));
    let known = [Context { ip: ClientIp::parse("81.2.69.142"), ..Context::default() }];

    let mut group = bench.benchmark_group("networks");
    for (name, networks, contexts) in [
        ("bundled/random IPv4", &bundled, &v4[..]),
        ("bundled/random IPv6", &bundled, &v6[..]),
        ("bundled/one address", &bundled, &known[..]),
        ("three custom databases/one address", &custom, &known[..]),
    ] {
        let mut next = contexts.iter().cycle();
        group.bench_function(name, |bench| bench.iter(|| black_box(networks.facts(next.next().expect("a cycle never ends")))));
    }
    group.bench_function("open the bundled database", |bench| bench.iter_batched(NetworksConfig::default, |config| open(&config), BatchSize::SmallInput));
    group.finish();
}

criterion_group!(benches, look_up_networks);
criterion_main!(benches);
