//! The generator: the same bytes for the same seed, and the shares that were published of the real set.

use std::collections::{HashMap, HashSet};

use riskgate_synth::{Campaign, Preset, RowKind, Surge, Synth, SynthConfig, SynthRecord, row::write_rows, write_log};

fn synth_config(users: u32, seed: u64, preset: Preset) -> SynthConfig {
    SynthConfig { users, seed, preset, attacks: 0.2, from: 1_580_688_000 }
}

/// A log as `riskgate synth` writes it.
pub(crate) fn log(synth_config: SynthConfig) -> String {
    let mut bytes = Vec::new();
    write_log(synth_config, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_seed_is_a_log() {
    let one = log(synth_config(300, 5, Preset::RBA));
    assert_eq!(one, log(synth_config(300, 5, Preset::RBA)));
    assert_ne!(one, log(synth_config(300, 6, Preset::RBA)));
    // Written down once: another machine, or another release of a library, has to give these bytes too.
    let sum = one.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(format!("{sum:016x}"), "11e55c13ca861734");
}

#[test]
fn rows_are_in_order_and_attackers_stay_out_of_the_first_sign_in() {
    let mut last = i64::MIN;
    let mut known = HashSet::new();
    for row in Synth::new(synth_config(500, 7, Preset::RBA)) {
        assert!(row.at >= last);
        last = row.at;
        match row.kind {
            RowKind::Success => {
                known.insert(row.user);
            }
            RowKind::Attack(_) => assert!(known.contains(&row.user), "an attacker imitates a user with a history"),
            RowKind::Failure | RowKind::Campaign { .. } | RowKind::Surge { .. } => {}
        }
    }
}

/// Shares of sign-ins with a history that bring a new country, provider, address and user agent.
fn novelty(preset: Preset) -> [f64; 4] {
    let log = log(SynthConfig { attacks: 0.0, ..synth_config(4_000, 3, preset) });
    let mut people: HashMap<String, [HashSet<String>; 4]> = HashMap::new();
    let (mut new, mut all) = ([0.0; 4], 0.0);
    let mut reader = csv::Reader::from_reader(log.as_bytes());
    for record in reader.records().map(Result::unwrap).filter(|record| &record[13] == "True") {
        let values = [5, 8, 4, 9].map(|column| record[column].to_owned());
        let seen = people.contains_key(&record[2]);
        let own = people.entry(record[2].to_owned()).or_default();
        all += f64::from(u8::from(seen));
        for (at, value) in values.into_iter().enumerate() {
            let is_new = own[at].insert(value);
            new[at] += f64::from(u8::from(seen && is_new));
        }
    }
    new.map(|count| count / all)
}

#[track_caller]
fn near(found: [f64; 4], expected: [f64; 4], within: f64) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < within, "{found} is not near {expected}");
    }
}

#[test]
fn novelty_is_that_of_the_published_sets() {
    near(novelty(Preset::RBA), [0.113, 0.212, 0.393, 0.507], 0.06);
    near(novelty(Preset::CONSUMER), [0.010, 0.092, 0.395, 0.124], 0.05);
}

/// The records of a log with an addition, and of the same log without it.
fn added(add: impl FnOnce(Synth) -> Synth) -> (Vec<SynthRecord>, Vec<SynthRecord>) {
    let config = SynthConfig { attacks: 0.0, ..synth_config(4_000, 21, Preset::RBA) };
    (add(Synth::new(config)).collect(), Synth::new(config).collect())
}

fn campaign(text: &str) -> Campaign {
    text.parse().unwrap()
}

fn surge(text: &str) -> Surge {
    text.parse().unwrap()
}

/// The rows that an addition has put between those of the people, in order. All others are unchanged.
#[track_caller]
fn only_added(add: impl FnOnce(Synth) -> Synth) -> Vec<SynthRecord> {
    let (with, without) = added(add);
    assert!(with.is_sorted_by_key(|row| row.at));
    let (new, old): (Vec<_>, Vec<_>) = with.into_iter().partition(|row| matches!(row.kind, RowKind::Campaign { .. } | RowKind::Surge { .. }));
    assert_eq!(old, without, "the rows of people stay as they are");
    new
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn share(rows: &[SynthRecord], is: impl Fn(&SynthRecord) -> bool) -> f64 {
    rows.iter().filter(|row| is(row)).count() as f64 / rows.len() as f64
}

const DAY: i64 = 86_400;
const START: i64 = 1_580_688_000;

#[test]
fn a_botnet_tries_each_name_once_or_twice_within_its_time() {
    let rows = only_added(|synth| synth.with_campaign(campaign("botnet,attempts=5000,over=6h,start=180d")));
    assert_eq!(rows.len(), 5_000);
    let first = START + 180 * DAY;
    assert!(rows.iter().all(|row| (first..first + DAY / 4).contains(&row.at)));
    let unknown = share(&rows, |row| row.user >= 4_000);
    assert!((unknown - 0.75).abs() < 0.03, "{unknown}");
    let mut tries: HashMap<u32, u32> = HashMap::new();
    rows.iter().filter(|row| row.user >= 4_000).for_each(|row| *tries.entry(row.user).or_default() += 1);
    assert!(tries.values().all(|tries| *tries <= 2));
    let passed = rows.iter().filter(|row| matches!(row.kind, RowKind::Campaign { passed: true, .. }));
    assert!((5..60).contains(&passed.clone().count()), "a half per cent of the attempts succeed");
    assert!(passed.clone().all(|row| row.user < 4_000), "a name without an account has no right password");
    // The busiest of 24 quarters of an hour has more than twice the mean.
    let mut quarters = [0; 24];
    rows.iter().for_each(|row| quarters[usize::try_from((row.at - first) / 900).unwrap()] += 1);
    assert!(*quarters.iter().max().unwrap() > 2 * 5_000 / 24, "{quarters:?}");
}

#[test]
fn a_spray_tries_every_name_before_the_next_password() {
    let rows = only_added(|synth| synth.with_campaign(campaign("spray,attempts=1000,rate=100,unknown=1")));
    assert_eq!(rows.last().unwrap().at / 3_600 - rows[0].at / 3_600, 9);
    let names: HashSet<u32> = rows[..500].iter().map(|row| row.user).collect();
    assert_eq!(names.len(), 500);
    assert!(rows[500..].iter().all(|row| names.contains(&row.user)));
}

#[test]
fn surges_are_sign_ins_of_users_with_a_history() {
    let mut known = HashSet::new();
    let surges = ["email,share=0.2", "monday,share=0.2", "outage,share=0.2", "release,share=0.5"].map(surge);
    let (with, _) = added(|synth| surges.into_iter().fold(synth, Synth::with_surge));
    let mut counts: HashMap<&str, [u32; 2]> = HashMap::new();
    for row in with {
        match row.kind {
            RowKind::Success => {
                known.insert(row.user);
            }
            RowKind::Surge { kind, passed } => {
                assert!(known.contains(&row.user));
                counts.entry(kind.as_label()).or_default()[usize::from(passed)] += 1;
            }
            _ => {}
        }
    }
    // About half of the 4,000 users had a first sign-in by then.
    for (kind, [least, most]) in [("email", [300, 500]), ("monday", [300, 500]), ("outage", [300, 500]), ("release", [300, 600])] {
        assert!((least..most).contains(&counts[kind][1]), "{kind}: {counts:?}");
    }
    assert!(counts["outage"][0] > counts["outage"][1], "most attempts of a retry storm fail: {counts:?}");
}

#[test]
fn surges_have_their_times() {
    let times = |text: &str| -> Vec<i64> { only_added(|synth| synth.with_surge(surge(text))).iter().map(|row| row.at - START).collect() };
    let email = times("email,start=100d,share=0.5");
    let within = |hours: i64| email.iter().filter(|at| **at < 100 * DAY + hours * 3_600).count() * 100 / email.len();
    assert!((28..40).contains(&within(1)) && (45..58).contains(&within(3)) && (76..87).contains(&within(24)), "{} {} {}", within(1), within(3), within(24));
    // 2020-02-03 was a Monday, so the next one is on day 105. Most people are in Norway.
    let monday = times("monday,start=101d,share=0.5");
    let morning = monday.iter().filter(|at| (105 * DAY + 5 * 3_600..105 * DAY + 11 * 3_600).contains(*at)).count();
    assert!(morning * 10 > monday.len() * 7, "{morning} of {}", monday.len());
    let release = times("release,start=100d,share=0.5");
    let first_day = release.iter().filter(|at| **at < 101 * DAY).count() * 100 / release.len();
    assert!((34..46).contains(&first_day), "{first_day}");
}

#[test]
fn additions_have_columns_and_the_log_without_them_has_not() {
    let config = synth_config(300, 5, Preset::RBA);
    let mut bytes = Vec::new();
    write_rows(Synth::new(config).with_campaign(campaign("botnet,attempts=50")).with_surge(surge("outage,share=0.5")), &mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.lines().next().unwrap().ends_with(",Attack,Surge,Unknown User"));
    assert_eq!(text.lines().filter(|line| line.contains(",botnet,,")).count(), 50);
    assert!(text.lines().any(|line| line.ends_with(",botnet,,True")) && text.lines().any(|line| line.ends_with(",False,,outage,False")), "{text}");
    assert!(log(config).lines().next().unwrap().ends_with(",Attack"));
}

#[test]
fn settings_of_campaigns_and_surges_are_checked() {
    for (text, problem) in [
        ("worm", "not a campaign"),
        ("botnet,attempts=0", "attempts=0"),
        ("botnet,unknown=2", "unknown=2"),
        ("botnet,over=6h,rate=5", "either over or rate"),
        ("botnet,shape=round", "shape=round"),
        ("botnet,size=4", "size is not a setting"),
        ("botnet,6h", "KEY=VALUE"),
        ("spray,start=yesterday", "start=yesterday"),
    ] {
        let error = text.parse::<Campaign>().unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
    for (text, problem) in [("party", "not a surge"), ("email,share=-1", "share=-1"), ("email,over=6h", "over is not a setting")] {
        let error = text.parse::<Surge>().unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

/// Shares of the successful sign-ins of a preset: outside the largest country, on a phone, at a weekend, at the ten most frequent addresses.
fn traits(preset: Preset) -> [f64; 4] {
    let log = log(SynthConfig { attacks: 0.0, ..synth_config(3_000, 4, preset) });
    let (mut countries, mut addresses) = (HashMap::<String, f64>::new(), HashMap::<String, f64>::new());
    let (mut phones, mut weekends, mut all) = (0.0, 0.0, 0.0);
    for record in csv::Reader::from_reader(log.as_bytes()).records().map(Result::unwrap).filter(|record| &record[13] == "True") {
        all += 1.0;
        *countries.entry(record[5].to_owned()).or_default() += 1.0;
        *addresses.entry(record[4].to_owned()).or_default() += 1.0;
        phones += f64::from(u8::from(&record[12] == "mobile"));
        let day: jiff::civil::Date = record[1][..10].parse().unwrap();
        weekends += f64::from(u8::from(matches!(day.weekday(), jiff::civil::Weekday::Saturday | jiff::civil::Weekday::Sunday)));
    }
    let mut addresses: Vec<f64> = addresses.into_values().collect();
    addresses.sort_by(|a, b| b.total_cmp(a));
    let largest = countries.into_values().fold(0.0, f64::max);
    [1.0 - largest / all, phones / all, weekends / all, addresses[..10].iter().sum::<f64>() / all]
}

#[test]
fn presets_are_different_populations() {
    let [abroad, phones, weekends, shared] = traits(Preset::MOBILE_FIRST);
    assert!(abroad < 0.25 && phones > 0.85 && weekends > 0.2 && shared < 0.02, "{abroad} {phones} {weekends} {shared}");
    let [abroad, phones, weekends, shared] = traits(Preset::ENTERPRISE);
    assert!(abroad < 0.5 && phones < 0.3 && weekends < 0.12 && shared > 0.25, "{abroad} {phones} {weekends} {shared}");
    let [abroad, phones, weekends, shared] = traits(Preset::GLOBAL);
    assert!(abroad > 0.7 && phones > 0.3 && weekends > 0.2 && shared < 0.02, "{abroad} {phones} {weekends} {shared}");
}
