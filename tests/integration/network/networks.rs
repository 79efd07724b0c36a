//! Network databases: the bundled one, the operator's, and changes to them at run time.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use riskgate_config::{env::ConfigError, networks::NetworksConfig};
use riskgate_engine::{
    client_ip::ClientIp,
    context::{AssertedFacts, Context, Country},
    network_facts::{Location, NetworkFacts, NetworkKind},
    network_source::Source,
};
use riskgate_network::{Networks, RELOAD_INTERVAL};
use riskgate_runtime::health::Health;

const CITY: &str = "GeoIP2-City-Test.mmdb";
const ASN: &str = "GeoLite2-ASN-Test.mmdb";
const ANONYMOUS: &str = "GeoIP2-Anonymous-IP-Test.mmdb";
const DAMAGED: &str = "GeoIP2-City-Test-Broken-Double-Format.mmdb";

/// An address that every MaxMind test database but the ASN one knows, and that flat.py gives to Sweden.
const LONDON: &str = "81.2.69.142";

#[derive(Default)]
struct Setup {
    config: NetworksConfig,
}

impl Setup {
    fn city(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.city_db = Some(path.into());
        self
    }

    fn asn(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.asn_db = Some(path.into());
        self
    }

    fn anonymous(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.anonymous_db = Some(path.into());
        self
    }

    #[track_caller]
    fn open(&self) -> (Networks, Arc<Health>) {
        let (networks, faults, health) = self.try_open();
        assert_eq!(faults, []);
        (networks, health)
    }

    fn try_open(&self) -> (Networks, Vec<ConfigError>, Arc<Health>) {
        let health = Arc::default();
        let (networks, faults) = Networks::open(&self.config, &health);
        (networks, faults, health)
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/mmdb").join(name)
}

fn facts(networks: &Networks, ip: &str) -> NetworkFacts {
    networks.facts(&Context { ip: ClientIp::parse(ip), ..Context::default() })
}

fn country(facts: &NetworkFacts) -> &str {
    facts.country.as_ref().map_or("-", Country::as_str)
}

// The bundled database

#[track_caller]
fn check_bundled(ip: &str, expected_country: &str, expected_asn: u32, expected: NetworkKind) {
    let facts = facts(&Setup::default().open().0, ip);
    assert_eq!((country(&facts), facts.asn.unwrap_or_default(), facts.kind), (expected_country, expected_asn, expected), "{ip}");
}

#[test]
fn the_bundled_database_knows_well_known_networks() {
    let none = NetworkKind::default();
    let hosting = NetworkKind { hosting: true, ..none };
    check_bundled("8.8.8.8", "US", 15169, hosting);
    check_bundled("::ffff:8.8.8.8", "US", 15169, hosting);
    check_bundled("95.216.1.1", "FI", 24940, hosting);
    check_bundled("90.127.1.1", "FR", 3215, none);
    check_bundled("2001:67c:2e8::1", "NL", 3333, none);
    check_bundled("185.220.101.1", "DE", 60729, NetworkKind { anonymous: true, tor: true, ..none });
    check_bundled("172.224.226.1", "GB", 36183, NetworkKind { relay: true, ..none });
    check_bundled("2a01:4f8::1", "DE", 24940, hosting);
}

/// Homes and phones have no kind: at most 0.005 % of the addresses of large access networks on all continents.
#[test]
fn access_networks_have_no_kind() {
    let (networks, _) = Setup::default().open();
    let listed = fs::read_to_string("data/access_networks.csv").unwrap();
    let access: HashSet<u32> = listed.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(access.len() >= 30);
    let (mut seen, mut flagged) = (HashMap::<u32, u32>::new(), 0);
    // Every 2,041st address, a prime number, so that each last byte occurs.
    for address in (0x0100_0000..0xe000_0000_u32).step_by(2_041) {
        let facts = networks.facts(&Context { ip: ClientIp::parse(&Ipv4Addr::from_bits(address).to_string()), ..Context::default() });
        if let Some(asn) = facts.asn.filter(|asn| access.contains(asn)) {
            *seen.entry(asn).or_default() += 1;
            flagged += u32::from(facts.kind != NetworkKind::default());
        }
    }
    let total: u32 = seen.values().sum();
    assert_eq!(seen.len(), access.len(), "every network is met: {seen:?}");
    assert!(f64::from(flagged) <= f64::from(total) * 0.000_05, "{flagged} of {total} addresses have a kind");
}

/// Registered under the name of a hosting company, but a mobile network.
#[test]
fn a_mobile_network_with_a_hosters_name_is_not_hosting() {
    for ip in ["37.160.0.1", "37.161.77.3", "37.163.255.254"] {
        check_bundled(ip, "IT", 29447, NetworkKind::default());
    }
}

#[test]
fn reserved_addresses_have_no_network_facts() {
    let (networks, _) = Setup::default().open();
    for ip in ["10.0.0.1", "203.0.113.7", "2001:db8::1", "::1", "fe80::1", "not an address", ""] {
        let facts = facts(&networks, ip);
        assert!(facts.country.is_none() && facts.asn.is_none() && facts.location.is_none() && facts.kind == NetworkKind::default(), "{ip}: {facts:?}");
    }
}

#[test]
fn a_country_alone_is_a_wide_place() {
    let (networks, _) = Setup::default().open();
    let place = facts(&networks, "90.127.1.1").location.unwrap();
    assert!((place.latitude - 46.5).abs() < 1.0 && (place.longitude - 2.6).abs() < 1.0 && (400.0..500.0).contains(&place.radius_km), "{place:?}");
}

#[test]
fn facts_of_a_trusted_caller_override_any_database() {
    let (networks, _) = Setup::default().city(fixture(CITY)).open();
    let asserted = AssertedFacts { country: Country::parse("br"), asn: Some(64500), ..AssertedFacts::default() };
    for ip in [LONDON, "10.0.0.1"] {
        let facts = networks.facts(&Context { ip: ClientIp::parse(ip), asserted: asserted.clone(), ..Context::default() });
        assert_eq!((country(&facts), facts.asn), ("BR", Some(64500)));
        assert!(facts.location.unwrap().radius_km > 1000.0, "London's coordinates are not Brazil's");
    }
}

// Files of the operator's own

#[test]
fn maxmind_files_answer_first() {
    let (networks, health) = Setup::default().city(fixture(CITY)).asn(fixture(ASN)).anonymous(fixture(ANONYMOUS)).open();
    let london = facts(&networks, LONDON);
    assert_eq!(country(&london), "GB");
    assert_eq!(london.location, Some(Location { latitude: 51.5142, longitude: -0.0931, radius_km: 10.0 }));
    assert_eq!(london.kind, NetworkKind { anonymous: true, vpn: true, tor: true, public_proxy: true, residential_proxy: true, hosting: true, relay: false });
    assert_eq!(facts(&networks, "1.128.0.1").asn, Some(1221));
    assert_eq!(facts(&networks, "2600:6000::1").asn, Some(237));
    // Not in the file: the AS number is that of the bundled database, and a missing kind means no anonymiser.
    let hetzner = facts(&networks, "95.216.1.1");
    assert_eq!((country(&hetzner), hetzner.asn, hetzner.kind), ("FI", Some(24940), NetworkKind::default()));
    // A relay is what an Anonymous-IP file does not know.
    assert!(facts(&networks, "172.224.226.1").kind.relay);
    for source in Source::ALL {
        assert!(health.networks_built[source as usize].load(Ordering::Relaxed) > 1_500_000_000, "{}", source.as_label());
    }
}

#[test]
fn a_host_is_no_anonymiser_by_itself() {
    let (networks, _) = Setup::default().anonymous(fixture(ANONYMOUS)).open();
    let kind = facts(&networks, "71.160.223.1").kind;
    assert_eq!(kind, NetworkKind { hosting: true, ..NetworkKind::default() });
}

#[test]
fn flat_records_are_read_too() {
    for name in ["flat-city-f32.mmdb", "flat-city-f64.mmdb"] {
        let (networks, _) = Setup::default().city(fixture(name)).asn(fixture(name)).open();
        let oslo = facts(&networks, "81.2.69.1");
        let place = oslo.location.unwrap();
        assert_eq!((country(&oslo), place.radius_km), ("NO", 50.0), "{name}");
        assert!((place.latitude - 59.91).abs() < 1e-4 && (place.longitude - 10.75).abs() < 1e-4, "{name}: {place:?}");
        let stockholm = facts(&networks, LONDON);
        assert_eq!((country(&stockholm), stockholm.asn), ("SE", Some(64501)), "{name}: numbers written as text");
        assert!(stockholm.location.unwrap().radius_km == 50.0);
        let no_place = facts(&networks, "89.160.20.1");
        assert_eq!((country(&no_place), no_place.asn), ("NO", Some(64500)), "{name}");
        assert!(no_place.location.unwrap().radius_km > 500.0, "{name}: the country's");
        let nowhere = facts(&networks, "175.16.199.1");
        assert_eq!(country(&nowhere), "CN", "{name}: a country that is none leaves the bundled one");
        assert_eq!(country(&facts(&networks, "2001:218::1")), "FI", "{name}");
    }
}

// Files that are not as they should be

#[track_caller]
fn check_refused(setup: Setup, variable: &str, problem: &str) {
    let (networks, faults, _) = setup.try_open();
    let [fault] = &faults[..] else { panic!("one fault, not {faults:?}") };
    assert_eq!(fault.variable, variable);
    assert!(fault.problem.contains(problem), "{}", fault.problem);
    assert_eq!(country(&facts(&networks, "8.8.8.8")), "US", "the bundled database is used");
}

#[test]
fn a_file_that_cannot_be_used_is_a_fault_of_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = fs::read(fixture(CITY)).unwrap();
    check_refused(Setup::default().city(folder.path().join("missing")), "RISKGATE_CITY_DB", "not found");
    check_refused(Setup::default().city(folder.path()), "RISKGATE_CITY_DB", "directory");
    check_refused(Setup::default().asn(write("empty", b"")), "RISKGATE_ASN_DB", "not a MaxMind database");
    check_refused(Setup::default().asn(write("text", b"country,asn\n")), "RISKGATE_ASN_DB", "not a MaxMind database");
    check_refused(Setup::default().anonymous(write("half", &whole[..whole.len() / 2])), "RISKGATE_ANONYMOUS_DB", "not a MaxMind database");
    // The tree is cut out of the middle: the metadata promises more than there is.
    let metadata = whole.len() - 400;
    check_refused(Setup::default().city(write("no_tree", &whole[metadata..])), "RISKGATE_CITY_DB", "damaged");
    check_refused(Setup::default().city(fixture(DAMAGED)), "RISKGATE_CITY_DB", "damaged");
    check_refused(Setup::default().city(fixture(ASN)), "RISKGATE_CITY_DB", "has no countries or places");
    check_refused(Setup::default().asn(fixture(CITY)), "RISKGATE_ASN_DB", "has no AS numbers");
    check_refused(Setup::default().anonymous(fixture(ASN)), "RISKGATE_ANONYMOUS_DB", "has no kinds");
}

#[test]
fn cuts_and_flipped_bytes_anywhere_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    let whole = fs::read(fixture("flat-city-f64.mmdb")).unwrap();
    let mut opened = 0;
    let mut try_it = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let (networks, faults, _) = Setup::default().city(&path).try_open();
        opened += usize::from(faults.is_empty());
        for ip in ["81.2.69.1", LONDON, "89.160.20.1", "175.16.199.1", "2001:218::1", "8.8.8.8", "255.1.1.1"] {
            let facts = facts(&networks, ip);
            assert!(facts.location.is_none_or(|at| at.latitude.abs() <= 90.0 && at.longitude.abs() <= 180.0 && at.radius_km > 0.0), "{facts:?}");
        }
    };
    for cut in (0..whole.len()).step_by(13) {
        try_it(&whole[..cut]);
    }
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        try_it(&bytes);
    }
    assert!(opened > 0, "some damage is where nothing is read");
}

/// A file is accepted after a check of its first thousand records, so a sign-in may find damage after them.
#[test]
fn a_damaged_record_is_no_record_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    let mut bytes = fs::read(fixture("many-records.mmdb")).unwrap();
    // The last of the records, before the metadata.
    let (from, to) = (bytes.len() - 20_000, bytes.len() - 500);
    bytes[from..to].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let (networks, health) = Setup::default().city(&path).open();
    for first in 1..224 {
        for second in [0, 64, 128, 192] {
            facts(&networks, &format!("{first}.{second}.1.1"));
        }
    }
    assert!(health.networks_undecodable.load(Ordering::Relaxed) > 0);
}

// Files that change

/// Replaces a file as update programs do: written beside it, then renamed over it.
fn replace(path: &Path, with: &str) {
    let beside = path.with_extension("new");
    fs::copy(fixture(with), &beside).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Opens a copy of the city database, `city.mmdb` in a new folder.
fn open_copy() -> (tempfile::TempDir, Networks, Arc<Health>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    replace(&path, CITY);
    let (networks, health) = Setup::default().city(&path).open();
    (folder, networks, health)
}

#[test]
fn a_replaced_file_is_read_completely_and_a_damaged_one_is_not() {
    let (folder, networks, health) = open_copy();
    let path = folder.path().join("city.mmdb");
    let refused = || health.networks_refused.load(Ordering::Relaxed);
    assert_eq!(country(&facts(&networks, LONDON)), "GB");

    replace(&path, "flat-city-f32.mmdb");
    assert_eq!(country(&facts(&networks, LONDON)), "GB", "not read again yet");
    networks.reload_changed();
    assert_eq!((country(&facts(&networks, LONDON)), refused()), ("SE", 0));

    fs::write(&path, b"").unwrap();
    networks.reload_changed();
    assert_eq!((country(&facts(&networks, LONDON)), refused()), ("SE", 1), "the old one stays");
    networks.reload_changed();
    assert_eq!(refused(), 1, "the same damage is counted once");

    fs::remove_file(&path).unwrap();
    networks.reload_changed();
    assert_eq!((country(&facts(&networks, LONDON)), refused()), ("SE", 2), "a file that is gone is counted too");

    replace(&path, CITY);
    networks.reload_changed();
    assert_eq!((country(&facts(&networks, LONDON)), refused()), ("GB", 2));
}

/// A pipe lets a test write while the file is read: what comes of that may be half old and half new.
#[test]
fn a_file_that_is_written_to_while_it_is_read_is_not_taken() {
    let (folder, networks, health) = open_copy();
    let path = folder.path().join("city.mmdb");
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Opened as soon as it is read; then longer than the clock of the file system takes to move on.
            let mut pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            pipe.write_all(&fs::read(fixture("flat-city-f32.mmdb")).unwrap()).unwrap();
        });
        networks.reload_changed();
        // A pipe without a reader makes its writer wait.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        writer.join().unwrap();
        drop(reader);
    });
    assert_eq!((country(&facts(&networks, LONDON)), health.networks_refused.load(Ordering::Relaxed)), ("GB", 1));
}

#[test]
fn a_file_that_was_faulty_at_start_is_used_once_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    let (networks, faults, _) = Setup::default().city(&path).try_open();
    assert_eq!(faults.len(), 1);
    replace(&path, CITY);
    networks.reload_changed();
    assert_eq!(facts(&networks, LONDON).location.unwrap().radius_km, 10.0);
}

#[test]
fn readers_meet_the_old_file_or_the_new_one_and_nothing_between() {
    let (folder, networks, health) = open_copy();
    let path = folder.path().join("city.mmdb");
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let london = facts(&networks, LONDON);
                    let radius = london.location.unwrap().radius_km;
                    assert!(matches!((country(&london), radius), ("GB", 10.0) | ("SE", 50.0)), "{london:?}");
                }
            })
        });
        for round in 0..40 {
            replace(&path, if round % 2 == 0 { "flat-city-f32.mmdb" } else { CITY });
            networks.reload_changed();
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(health.networks_refused.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn files_are_looked_at_when_it_is_due_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    replace(&path, CITY);
    let before = tokio::time::Instant::now();
    let (networks, _) = Setup::default().city(&path).open();
    replace(&path, "flat-city-f32.mmdb");

    // Queued behind the look, if one was started, on the same pool; bounded either way.
    let settle = || tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(50)));
    networks.reload_if_due(before + RELOAD_INTERVAL);
    settle().await.unwrap();
    assert_eq!(country(&facts(&networks, LONDON)), "GB", "opened a moment after `before`");

    networks.reload_if_due(tokio::time::Instant::now() + RELOAD_INTERVAL);
    for _ in 0..200 {
        if country(&facts(&networks, LONDON)) == "SE" {
            return;
        }
        settle().await.unwrap();
    }
    panic!("the new file was not taken up in ten seconds");
}

#[test]
fn a_refused_file_counts_as_outdated_only_until_a_good_one_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    fs::copy(fixture(CITY), &path).unwrap();
    let good = fs::metadata(&path).unwrap().modified().unwrap();
    let (networks, health) = Setup::default().city(&path).open();
    let outdated = || {
        networks.reload_changed();
        health.networks_outdated.load(Ordering::Relaxed)
    };
    assert_eq!(outdated(), 0);
    fs::write(&path, b"not a database").unwrap();
    assert_eq!([outdated(), outdated()], [1, 1], "at each look, not only at the first");
    fs::copy(fixture("flat-city-f64.mmdb"), &path).unwrap();
    assert_eq!(outdated(), 0, "another good one");
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    assert_eq!(outdated(), 1, "missing");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(outdated(), 0, "the very same one is back");
    fs::write(&path, b"not a database").unwrap();
    assert_eq!(outdated(), 1);
    fs::copy(fixture(CITY), &path).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(good).unwrap();
    assert_eq!(outdated(), 0, "the first one is back, with its old time");
    assert!(health.networks_refused.load(Ordering::Relaxed) >= 3, "the counter goes on");
}
