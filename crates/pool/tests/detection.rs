//! The detector on generated minutes: campaigns, surges, hysteresis, and the stored form of its state.

use std::collections::BTreeMap;

use proptest::prelude::*;
use riskgate_engine::context::Country;
use riskgate_pool::{
    Attempt, AttemptKind, Cell, Counts, PoolState, Status, Wave,
    attempt::{self, MAX_SAMPLED_PER_MINUTE},
    codec::MAX_STATE_BYTES,
    sketch::Sketch,
};
use smol_str::SmolStr;

/// 2026-01-01, a Thursday, in minutes since 1970.
const START: i64 = 29_453_760;
const DAY: i64 = 1_440;

/// A small generator of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A Poisson count (Knuth).
    fn poisson(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

fn count(counts: &mut Counts, attempt: &Attempt) {
    attempt.increments(0).expect("level 0 counts everyone").iter().for_each(|(name, value)| counts.add(name, *value));
}

/// A minute of a pool: people with their own values, and some with new ones. `busy` multiplies both.
fn minute(random: &mut Random, at: i64, busy: f64) -> Counts {
    let hour = at.div_euclid(60).rem_euclid(24);
    let daytime = if (7..22).contains(&hour) { 1.5 } else { 0.3 };
    let mut counts = Counts::default();
    for (kind, rate) in [(AttemptKind::Familiar, 2.0), (AttemptKind::NewValues, 0.3), (AttemptKind::NoHistory, 0.1), (AttemptKind::UnknownName, 0.02)] {
        for _ in 0..random.poisson(rate * daytime * busy) {
            let user = (random.next() >> 32) as u32;
            let asn = 100 + user % 20;
            let cells = [Cell::Asn(asn), Cell::UserAgent(user % 300)].into_iter().collect();
            count(&mut counts, &Attempt { user, network: Some(user / 3), kind, cells });
        }
    }
    counts
}

fn campaign(random: &mut Random, counts: &mut Counts, per_minute: f64) {
    for _ in 0..random.poisson(per_minute) {
        let user = (random.next() >> 32) as u32;
        let kind = if user.is_multiple_of(4) { AttemptKind::NewValues } else { AttemptKind::UnknownName };
        let cells = [Cell::Asn(64_500), Cell::UserAgent(0xbad)].into_iter().collect();
        count(counts, &Attempt { user, network: Some(user % 50), kind, cells });
    }
}

/// A pool that was observed for two weeks.
fn learned(random: &mut Random) -> PoolState {
    let mut state = PoolState::default();
    for at in START..START + 14 * DAY {
        assert_eq!(state.take_up(at, &minute(random, at, 1.0)), None);
        assert_eq!(state.attack, None, "at {at}");
    }
    state.next = Some(START + 14 * DAY);
    state
}

#[test]
fn a_campaign_is_detected_soon_with_its_cells_and_ends_after_it() {
    let mut random = Random(1);
    let mut state = learned(&mut random);
    let start = START + 14 * DAY + 60;
    let mut detected = None;
    let mut ended = None;
    for at in start - 60..start + 12 * 60 {
        let mut counts = minute(&mut random, at, 1.0);
        if (start..start + 120).contains(&at) {
            campaign(&mut random, &mut counts, 5.0);
        }
        ended = ended.or(state.take_up(at, &counts).map(|attack| (at, attack)));
        if state.attack.is_some() && detected.is_none() {
            detected = Some(at);
        }
        if at == start + 100 {
            assert_eq!(state.status(), Status::UnderAttack);
            let cells: Vec<Cell> = state.attack_cells().into_iter().map(|excess| excess.cell).collect();
            assert!(cells.contains(&Cell::Asn(64_500)) && cells.contains(&Cell::UserAgent(0xbad)), "{cells:?}");
            assert!(!cells.iter().any(|cell| matches!(cell, Cell::Asn(100..120))), "the users' own networks: {cells:?}");
        }
    }
    let detected = detected.expect("detected") - start;
    assert!((0..6).contains(&detected), "after {detected} min");
    let (at, attack) = ended.expect("it is over");
    assert!(at >= start + 120, "it ended {at}");
    assert!((start - 30..start + 6).contains(&attack.episode.since), "{}", attack.episode.since - start);
    let (attempts, users) = (f64::from(attack.episode.attempts) - attack.episode.expected, attack.episode.users.estimate());
    assert!((450.0..800.0).contains(&attempts), "{attempts}");
    assert!((400..1_000).contains(&users), "{users}");
    assert_eq!(state.status(), Status::Calm);
}

#[test]
fn a_slow_campaign_is_one_attack() {
    let mut random = Random(2);
    let mut state = learned(&mut random);
    let start = START + 14 * DAY;
    let mut attacks = 0;
    for at in start..start + 2 * DAY {
        let mut counts = minute(&mut random, at, 1.0);
        if at < start + DAY {
            campaign(&mut random, &mut counts, 0.5);
        }
        attacks += u32::from(state.take_up(at, &counts).is_some());
    }
    assert_eq!((attacks, state.attack.is_some()), (1, false));
}

#[test]
fn surges_of_the_pools_own_people_are_not_attacks() {
    let mut random = Random(3);
    for busy in [2.0, 5.0, 15.0] {
        let mut state = learned(&mut random);
        let start = START + 14 * DAY + 9 * 60;
        for at in START + 14 * DAY..start + DAY {
            let busy = if (start..start + 180).contains(&at) { busy } else { 1.0 };
            state.take_up(at, &minute(&mut random, at, busy));
            assert_eq!(state.attack, None, "{busy} times as many sign-ins, {} min after the start", at - start);
        }
    }
}

#[test]
fn an_unknown_pool_is_calm() {
    let mut random = Random(4);
    let mut state = PoolState::default();
    for at in START..START + DAY {
        let mut counts = minute(&mut random, at, 1.0);
        campaign(&mut random, &mut counts, 50.0);
        state.take_up(at, &counts);
    }
    assert_eq!(state.status(), Status::Calm);
    assert!(Wave::of(&state).is_empty());
}

/// A process that sees every minute, and one that takes up the minutes of a store later, have the same state.
#[test]
fn processes_that_take_up_the_same_minutes_agree() {
    let mut random = Random(5);
    let minutes: BTreeMap<i64, Counts> = (START..START + 5 * DAY).map(|at| (at, minute(&mut random, at, 1.0))).collect();
    let mut one = PoolState::default();
    let mut other = one.clone();
    for end in START..=START + 5 * DAY {
        one.advance(&minutes, end);
    }
    for end in (START..=START + 5 * DAY).step_by(7) {
        other.advance(&minutes, end);
    }
    other.advance(&minutes, START + 5 * DAY);
    assert_eq!(one, other);
    let present = BTreeMap::from([(START + 5 * DAY, minute(&mut random, START, 1.0))]);
    let ahead = one.with_present(&present, START + 5 * DAY + 1);
    one.advance(&present, START + 5 * DAY + 1);
    assert_eq!(ahead, one, "the minute in progress gives what it gives when it is over");
}

#[test]
fn a_state_is_stored_and_read() {
    let mut random = Random(6);
    let mut state = learned(&mut random);
    for at in START + 14 * DAY..START + 14 * DAY + 90 {
        let mut counts = minute(&mut random, at, 1.0);
        campaign(&mut random, &mut counts, 5.0);
        state.take_up(at, &counts);
    }
    let bytes = state.to_bytes();
    assert!(bytes.len() < MAX_STATE_BYTES / 2, "{} bytes", bytes.len());
    let read = PoolState::from_bytes(&bytes).expect("readable");
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!((read.status(), read.next), (Status::UnderAttack, state.next));
    let expected: Vec<Cell> = state.attack_cells().into_iter().map(|excess| excess.cell).collect();
    assert_eq!(read.attack_cells().into_iter().map(|excess| excess.cell).collect::<Vec<_>>(), expected);
    for end in 0..bytes.len() {
        let _ = PoolState::from_bytes(&bytes[..end]);
    }
    assert_eq!(PoolState::from_bytes(&[2]), None, "another version");
}

#[test]
fn a_busy_pool_counts_few_users_with_more_weight() {
    let mut random = Random(7);
    let (mut counts, level) = (Counts::default(), attempt::level_for(20_000));
    let mut writes = 0;
    for _ in 0..20_000 {
        let user = (random.next() >> 32) as u32;
        let attempt = Attempt { user, network: None, kind: AttemptKind::NewValues, cells: [Cell::Asn(1)].into_iter().collect() };
        if let Some(increments) = attempt.increments(level) {
            writes += 1;
            increments.iter().for_each(|(name, value)| counts.add(name, *value));
        }
    }
    assert!(writes <= MAX_SAMPLED_PER_MINUTE * 3 / 2, "{writes} writes");
    let within = |value: f64| (14_000.0..26_000.0).contains(&value);
    let mut users = Sketch::default();
    users.add(&counts.users, u32::MAX >> counts.level);
    assert!(within(f64::from(counts.attempts)) && within(users.estimate() as f64), "{} attempts, {} users", counts.attempts, users.estimate());
    assert_eq!((attempt::level_for(0), attempt::level_for(128), attempt::level_for(129), attempt::level_for(u32::MAX)), (0, 0, 1, 16));
}

fn counts() -> impl Strategy<Value = Counts> {
    let cell = prop_oneof![
        (0_u32..5).prop_map(Cell::Asn),
        Just(Cell::Country(Country::parse("NO").expect("a country"))),
        Just(Cell::AgentFamily(SmolStr::new("Chrome on Windows 10"))),
        (0_u32..5).prop_map(Cell::UserAgent)
    ];
    let kind = prop_oneof![Just(AttemptKind::Familiar), Just(AttemptKind::NewValues), Just(AttemptKind::NoHistory), Just(AttemptKind::UnknownName)];
    let attempt = (any::<u32>(), proptest::option::of(any::<u32>()), kind, proptest::collection::vec(cell, 0..4)).prop_map(|(user, network, kind, cells)| {
        let mut counts = Counts::default();
        count(&mut counts, &Attempt { user, network, kind, cells: cells.into_iter().collect() });
        counts
    });
    proptest::collection::vec(attempt, 0..20).prop_map(|all| {
        all.iter().fold(Counts::default(), |mut sum, counts| {
            sum.merge(counts);
            sum
        })
    })
}

proptest! {
    #[test]
    fn counts_do_not_depend_on_the_order_of_processes(one in counts(), two in counts(), three in counts()) {
        let merged = |order: [&Counts; 3]| order.into_iter().fold(Counts::default(), |mut sum, counts| { sum.merge(counts); sum });
        prop_assert_eq!(merged([&one, &two, &three]), merged([&three, &one, &two]));
    }

    #[test]
    fn sketches_do_not_depend_on_the_order_of_merges(hashes in proptest::collection::btree_set(any::<u32>(), 0..600), limit: u32) {
        let (mut small, mut large, mut all) = (Sketch::default(), Sketch::default(), Sketch::default());
        let (low, high): (std::collections::BTreeSet<u32>, _) = hashes.iter().partition(|hash| hash.is_multiple_of(2));
        small.add(&low, u32::MAX);
        large.add(&high, limit.max(1 << 28));
        all.add(&hashes, limit.max(1 << 28));
        let (mut one, mut other) = (small.clone(), large.clone());
        one.merge(&large);
        other.merge(&small);
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(&one, &all);
    }

    #[test]
    fn foreign_bytes_do_not_panic(bytes: Vec<u8>) {
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        let _ = (PoolState::from_bytes(&bytes), PoolState::from_bytes(&versioned));
    }

    #[test]
    fn a_cell_is_read_as_it_was_written(asn: u32, hash: u32) {
        for cell in [Cell::Asn(asn), Cell::UserAgent(hash), Cell::AgentFamily("Edge on Windows".into()), Cell::Country(Country::parse("SE").expect("a country"))] {
            prop_assert_eq!(Cell::from_field(&cell.to_field()), Some(cell));
        }
    }

    #[test]
    fn foreign_fields_do_not_panic(name: String, value: u32) {
        Counts::default().add(&name, value);
    }
}
