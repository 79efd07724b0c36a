//! Profiles come back from their bytes, stay small, and age.

use proptest::prelude::*;

use super::*;

fn features(seed: u32) -> Features {
    let mut features = Features::default();
    for (at, level) in Level::ALL.into_iter().enumerate() {
        features.set(level, Some(seed.wrapping_mul(31).wrapping_add(u32::try_from(at).unwrap())));
    }
    features
}

fn learn(profile: &mut Profile, seed: u32, day: i64, device: DeviceNews) {
    let sighting = Sighting { at: Timestamp::from_second(day * 86_400 + 3600 * 9).unwrap(), place: None, anonymous: false };
    profile.learn(&Lesson { features: &features(seed), hour: Some(9), sighting, device }, 180);
}

#[test]
fn a_profile_is_under_a_kilobyte_whatever_it_has_seen() {
    let mut profile = Profile::default();
    for day in 0..2_000 {
        learn(&mut profile, u32::try_from(day * 7919).unwrap(), 20_000 + day / 5, DeviceNews::Unsaid);
        assert!(profile.entries.len() <= 100);
    }
    profile.entries.iter_mut().for_each(|entry| (entry.count, entry.first_day) = (u16::MAX, 0));
    let bytes = profile.to_bytes();
    assert!(bytes.len() <= 900, "{}", bytes.len());
    assert!(Profile::from_bytes(&bytes).unwrap().entries.len() > 60);
}

#[test]
fn a_value_is_established_on_its_second_day_and_forgotten_after_its_time() {
    let mut profile = Profile::default();
    for _ in 0..50 {
        learn(&mut profile, 1, 20_000, DeviceNews::Unsaid);
    }
    let hash = features(1).at(Level::Ip).unwrap();
    assert!(!profile.entry(Level::Ip, hash).unwrap().is_established());
    learn(&mut profile, 1, 20_001, DeviceNews::Known);
    assert!(profile.entry(Level::Ip, hash).unwrap().is_established());
    profile.forget(20_001 + 181, 180);
    assert!(profile.entries.is_empty());
    assert_eq!(profile.successes, 51);
}

#[test]
fn a_device_that_the_pool_calls_new_starts_again() {
    let mut profile = Profile::default();
    learn(&mut profile, 1, 20_000, DeviceNews::Unsaid);
    learn(&mut profile, 1, 20_009, DeviceNews::New);
    assert!(!profile.entry(Level::Device, features(1).at(Level::Device).unwrap()).unwrap().is_established());
    assert!(profile.entry(Level::Ip, features(1).at(Level::Ip).unwrap()).unwrap().is_established());
}

#[test]
fn hours_are_halved_together() {
    let mut profile = Profile { hours: [100; 24], ..Profile::default() };
    profile.hours[9] = 255;
    learn(&mut profile, 1, 20_000, DeviceNews::Unsaid);
    assert_eq!((profile.hours[9], profile.hours[10]), (128, 50));
}

#[test]
fn hashes_of_an_older_key_are_renamed_and_joined() {
    let mut profile = Profile::default();
    learn(&mut profile, 1, 20_000, DeviceNews::Unsaid);
    learn(&mut profile, 2, 20_003, DeviceNews::Unsaid);
    profile.rename(&features(1), &features(2));
    let entry = *profile.entry(Level::Country, features(2).at(Level::Country).unwrap()).unwrap();
    assert_eq!((entry.count, entry.first_day, entry.last_day), (2, 20_000, 20_003));
    assert_eq!(profile.entries.len(), 9);
}

proptest! {
    #[test]
    fn bytes_come_back(
        successes: u32, hours: [u8; 24], last in proptest::option::of((0_u32.., proptest::option::of((-180_i16..=180, -360_i16..=360, 0_u16..))), ),
        entries in proptest::collection::vec((0_usize..9, any::<u32>(), 1_u16..200, 20_000_u16..20_180, 0_u16..100), 0..60),
        anonymous: bool,
    ) {
        let last = last.map(|(at, place)| Sighting {
            at: moment(at),
            place: place.map(|(lat, lon, radius)| Location { latitude: f64::from(lat) / 2.0, longitude: f64::from(lon) / 2.0, radius_km: f64::from(radius) }),
            anonymous,
        });
        let mut profile = Profile { successes, hours, last, entries: Vec::new() };
        for (level, hash, count, last_day, age) in entries {
            profile.entries.push(Entry { level: Level::ALL[level], hash, count, first_day: last_day - age, last_day });
        }
        profile.entries.sort_unstable_by_key(|entry| (entry.level, entry.hash));
        let read = Profile::from_bytes(&profile.to_bytes()).unwrap();
        prop_assert_eq!(read, profile);
    }

    #[test]
    fn torn_or_foreign_bytes_are_no_profile_and_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..1_500), ours: bool) {
        // Half of them begin as ours do, so that more than their first byte is read.
        if let (true, Some(version)) = (ours, bytes.first_mut()) {
            *version = VERSION;
        }
        if let Some(profile) = Profile::from_bytes(&bytes) {
            prop_assert!(profile.entries.len() <= MOST_ENTRIES);
        }
    }
}
