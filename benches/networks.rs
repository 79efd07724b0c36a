//! Network look-ups: `cargo bench --bench networks`.
//!
//! Addresses are drawn once from a fixed seed over the whole public space, so that most look-ups
//! meet cold parts of the database, as sign-ins do; the warm case asks about one address again and again.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand::{Rng, RngExt, SeedableRng};
use riskgate::{
    config::networks::NetworksConfig,
    event::{ClientIp, context::Context},
    evidence::networks::Networks,
};

const DRAWN: usize = 4096;

fn contexts(draw: impl FnMut(&mut rand_chacha::ChaCha8Rng) -> IpAddr) -> Vec<Context> {
    let mut draw = draw;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    std::iter::repeat_with(|| ClientIp::classify(draw(&mut random)))
        .filter(|ip| ip.public().is_some())
        .take(DRAWN)
        .map(|ip| Context { ip, ..Context::default() })
        .collect()
}

fn look_up(bench: &mut Criterion) {
    let fixture = |name: &str| Some(PathBuf::from("tests/fixtures/mmdb").join(name));
    let own = NetworksConfig {
        city_db: fixture("GeoIP2-City-Test.mmdb"),
        asn_db: fixture("GeoLite2-ASN-Test.mmdb"),
        anonymous_db: fixture("GeoIP2-Anonymous-IP-Test.mmdb"),
    };
    let open = |config: &NetworksConfig| Networks::open(config, &Arc::default()).0;
    let bundled = open(&NetworksConfig::default());
    let own = open(&own);

    let v4 = contexts(|random| IpAddr::V4(Ipv4Addr::from_bits(random.next_u32())));
    let v6 = contexts(|random| IpAddr::V6(Ipv6Addr::from_bits((0x2a << 120) | (u128::from(random.random::<u64>()) << 56))));
    let known = [Context { ip: ClientIp::parse("81.2.69.142"), ..Context::default() }];

    let mut group = bench.benchmark_group("networks");
    for (name, networks, contexts) in [
        ("bundled/v4 anywhere", &bundled, &v4[..]),
        ("bundled/v6 anywhere", &bundled, &v6[..]),
        ("bundled/one address", &bundled, &known[..]),
        ("three own files/one address", &own, &known[..]),
    ] {
        let mut next = contexts.iter().cycle();
        group.bench_function(name, |bench| bench.iter(|| black_box(networks.facts(next.next().expect("a cycle has no end")))));
    }
    group.bench_function("open the bundled database", |bench| bench.iter_batched(NetworksConfig::default, |config| open(&config), BatchSize::SmallInput));
    group.finish();
}

criterion_group!(benches, look_up);
criterion_main!(benches);
