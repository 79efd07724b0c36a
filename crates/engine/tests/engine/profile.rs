//! Tests of encoding, size limits, expiry and rehashing of profiles.

use proptest::prelude::*;

use jiff::Timestamp;
use riskgate_engine::{
    features::{FeatureLevel, Features},
    network_facts::Location,
    profile::{DeviceStatus, MAX_ENTRIES, Observation, Profile, ProfileEntry, SignInLocation, timestamp_of},
};

fn features(seed: u32) -> Features {
    let mut features = Features::default();
    for (at, level) in FeatureLevel::ALL.into_iter().enumerate() {
        features.set(level, Some(seed.wrapping_mul(31).wrapping_add(u32::try_from(at).unwrap())));
    }
    features
}

fn learn(profile: &mut Profile, seed: u32, day: i64, device: DeviceStatus) {
    let location = SignInLocation { at: Timestamp::from_second(day * 86_400 + 3600 * 9).unwrap(), location: None, anonymous: false };
    profile.learn(&Observation { features: &features(seed), hour: Some(9), location, device, proven: false, verified: false }, 180);
}

fn learn_verified(profile: &mut Profile, seed: u32, day: i64) {
    let location = SignInLocation { at: Timestamp::from_second(day * 86_400).unwrap(), location: None, anonymous: false };
    let device = DeviceStatus::NotReported;
    profile.learn(&Observation { features: &features(seed), hour: None, location, device, proven: false, verified: true }, 180);
}

fn verified_levels(profile: &Profile, seed: u32) -> Vec<FeatureLevel> {
    let is_verified = |level: &FeatureLevel| profile.entry(*level, features(seed).at(*level).unwrap()).unwrap().verified;
    FeatureLevel::ALL.into_iter().filter(is_verified).collect()
}

const NETWORK: [FeatureLevel; 4] = [FeatureLevel::Country, FeatureLevel::Asn, FeatureLevel::Network, FeatureLevel::Ip];

#[test]
fn the_size_of_a_profile_is_bounded() {
    let mut profile = Profile::default();
    for day in 0..2_000 {
        learn(&mut profile, u32::try_from(day * 7919).unwrap(), 20_000 + day / 5, DeviceStatus::NotReported);
        assert!(profile.entries.len() <= 100);
    }
    profile.entries.iter_mut().for_each(|entry| (entry.count, entry.first_day, entry.verified) = (u16::MAX, 0, true));
    let bytes = profile.to_bytes();
    assert!(bytes.len() <= 900, "{}", bytes.len());
    assert!(Profile::from_bytes(&bytes).unwrap().entries.len() > 60);
}

#[test]
fn a_value_is_established_on_its_second_day_and_expires() {
    let mut profile = Profile::default();
    for _ in 0..50 {
        learn(&mut profile, 1, 20_000, DeviceStatus::NotReported);
    }
    let hash = features(1).at(FeatureLevel::Ip).unwrap();
    assert!(!profile.entry(FeatureLevel::Ip, hash).unwrap().is_established());
    learn(&mut profile, 1, 20_001, DeviceStatus::Known);
    assert!(profile.entry(FeatureLevel::Ip, hash).unwrap().is_established());
    profile.forget(20_001 + 181, 180);
    assert!(profile.entries.is_empty());
    assert_eq!(profile.successes, 51);
}

#[test]
fn a_device_that_the_pool_reports_as_new_is_not_established() {
    let mut profile = Profile::default();
    learn(&mut profile, 1, 20_000, DeviceStatus::NotReported);
    learn(&mut profile, 1, 20_009, DeviceStatus::New);
    assert!(!profile.entry(FeatureLevel::Device, features(1).at(FeatureLevel::Device).unwrap()).unwrap().is_established());
    assert!(profile.entry(FeatureLevel::Ip, features(1).at(FeatureLevel::Ip).unwrap()).unwrap().is_established());
}

#[test]
fn a_verified_success_marks_its_network_and_a_claim_marks_nothing() {
    let mut profile = Profile::default();
    learn(&mut profile, 1, 20_000, DeviceStatus::NotReported);
    assert!(!profile.has_verified());
    learn_verified(&mut profile, 2, 20_001);
    learn(&mut profile, 2, 20_002, DeviceStatus::NotReported);
    assert_eq!((verified_levels(&profile, 1), verified_levels(&profile, 2)), (vec![], NETWORK.to_vec()), "a later claim does not remove the mark");
}

#[test]
fn a_new_key_and_a_merge_retain_the_marks() {
    let mut profile = Profile::default();
    learn_verified(&mut profile, 1, 20_000);
    learn(&mut profile, 2, 20_001, DeviceStatus::NotReported);
    profile.rehash(&features(1), &features(2));
    assert_eq!(verified_levels(&profile, 2), NETWORK);
    let mut newest = Profile::default();
    learn(&mut newest, 2, 20_002, DeviceStatus::NotReported);
    newest.merge(profile);
    assert_eq!(verified_levels(&newest, 2), NETWORK);
}

/// The marks follow the entries, where earlier versions do not read.
#[test]
fn an_earlier_version_loses_the_marks_only() {
    let mut claimed = Profile::default();
    (1..6).for_each(|seed| learn(&mut claimed, seed, 20_000, DeviceStatus::NotReported));
    let mut profile = claimed.clone();
    profile.entries.iter_mut().step_by(3).for_each(|entry| entry.verified = true);
    let (with, without) = (profile.to_bytes(), claimed.to_bytes());
    let (before, marks) = with.split_at(without.len());
    assert_eq!((before, marks.len()), (&without[..], claimed.entries.len().div_ceil(8)));
    assert_eq!(Profile::from_bytes(&with).unwrap().entries.iter().filter(|entry| entry.verified).count(), 15);
    assert!(!Profile::from_bytes(&without).unwrap().has_verified(), "and this version reads what the earlier one wrote");
}

#[test]
fn all_hours_are_halved_when_one_overflows() {
    let mut profile = Profile { hours: [100; 24], ..Profile::default() };
    profile.hours[9] = 255;
    learn(&mut profile, 1, 20_000, DeviceStatus::NotReported);
    assert_eq!((profile.hours[9], profile.hours[10]), (128, 50));
}

#[test]
fn hashes_of_an_older_key_are_replaced_and_combined() {
    let mut profile = Profile::default();
    learn(&mut profile, 1, 20_000, DeviceStatus::NotReported);
    learn(&mut profile, 2, 20_003, DeviceStatus::NotReported);
    profile.rehash(&features(1), &features(2));
    let entry = *profile.entry(FeatureLevel::Country, features(2).at(FeatureLevel::Country).unwrap()).unwrap();
    assert_eq!((entry.count, entry.first_day, entry.last_day), (2, 20_000, 20_003));
    assert_eq!(profile.entries.len(), 9);
}

proptest! {
    #[test]
    fn a_profile_is_decoded_as_it_was_encoded(
        successes: u32, hours: [u8; 24], last in proptest::option::of((0_u32.., proptest::option::of((-180_i16..=180, -360_i16..=360, 0_u16..))), ),
        entries in proptest::collection::vec((0_usize..9, any::<u32>(), 1_u16..200, 20_000_u16..20_180, 0_u16..100, any::<bool>()), 0..60),
        anonymous: bool,
    ) {
        let last = last.map(|(at, location)| SignInLocation {
            at: timestamp_of(at),
            location: location.map(|(lat, lon, radius)| Location { latitude: f64::from(lat) / 2.0, longitude: f64::from(lon) / 2.0, radius_km: f64::from(radius) }),
            anonymous,
        });
        let mut profile = Profile { successes, hours, last, entries: Vec::new() };
        for (level, hash, count, last_day, age, verified) in entries {
            profile.entries.push(ProfileEntry { level: FeatureLevel::ALL[level], hash, count, first_day: last_day - age, last_day, verified });
        }
        profile.entries.sort_unstable_by_key(|entry| (entry.level, entry.hash));
        let read = Profile::from_bytes(&profile.to_bytes()).unwrap();
        prop_assert_eq!(read, profile);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..1_500), has_version: bool) {
        // Half of the cases start with a valid version; without it, only the first byte would be read.
        if let (true, Some(version)) = (has_version, bytes.first_mut()) {
            *version = 1;
        }
        if let Some(profile) = Profile::from_bytes(&bytes) {
            prop_assert!(profile.entries.len() <= MAX_ENTRIES);
        }
    }
}
