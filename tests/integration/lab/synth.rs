//! The generator: the same bytes for the same seed, and the shares that were published of the real set.

use std::collections::{HashMap, HashSet};

use riskgate_lab::synth::{
    Preset, RowKind, Synth, SynthConfig,
    row::{HEADER, write},
};

fn synth_config(users: u32, seed: u64, preset: Preset) -> SynthConfig {
    SynthConfig { users, seed, preset, attacks: 0.2, from: 1_580_688_000 }
}

/// A log as `riskgate synth` writes it.
pub(crate) fn log(synth_config: SynthConfig) -> String {
    let mut bytes = format!("{HEADER}\n").into_bytes();
    let mut synth = Synth::new(synth_config);
    let mut index = 0;
    while let Some(row) = synth.next() {
        write(&synth, index, &row, &mut bytes).unwrap();
        index += 1;
    }
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
            RowKind::Attack(_) => assert!(known.contains(&row.user), "an attacker imitates somebody with a history"),
            RowKind::Failure => {}
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
