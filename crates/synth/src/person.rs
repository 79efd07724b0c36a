//! One synthetic person: country, frequency of sign-ins, addresses and user agents.

use crate::{
    Preset,
    rng::SynthRng,
    world::{Address, SynthUserAgent, World},
};

/// How many addresses a person may use again.
const MAX_ADDRESSES: usize = 6;

/// The probability of a new address, by the upper bound of the seconds since the last sign-in. Read from the published figure.
const NEW_ADDRESS: [(i64, f64); 7] = [(60, 0.023), (600, 0.06), (3_600, 0.106), (86_400, 0.30), (7 * 86_400, 0.45), (30 * 86_400, 0.60), (i64::MAX, 0.74)];

/// The state of a person between two sign-ins.
#[derive(Debug)]
pub(super) struct SynthPerson {
    /// The number of future sign-ins, including the next one.
    pub(super) remaining: u16,
    /// The number of past sign-ins.
    pub(super) done: u16,
    /// The index of the home country.
    home: u8,
    /// The mean of ln(seconds between sign-ins).
    pace: f32,
    /// The local hours at which sign-ins are most frequent. 255 for none.
    peaks: [u8; 2],
    /// The addresses used, the latest last.
    used: [Address; MAX_ADDRESSES],
    used_len: u8,
    /// The latest sign-in, after the first one.
    pub(super) last: SynthSignIn,
    /// The next sign-in.
    pub(super) next: SynthSignIn,
}

/// A future sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SynthSignIn {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) address: Address,
    pub(super) agent: SynthUserAgent,
}

impl SynthPerson {
    /// Creates a person whose first sign-in is within `span` seconds from `from`.
    pub(super) fn new(world: &World, preset: &Preset, rng: &mut SynthRng, from: i64, span: i64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..400")]
        let remaining = libm::floor(rng.lognormal(preset.sign_ins.0, preset.sign_ins.1)).clamp(1.0, 400.0) as u16;
        let home = world.country(rng);
        let address = world.address_in(home, rng);
        let device = world.device(rng);
        let agent = world.agent(device, rng);
        #[expect(clippy::cast_possible_truncation, reason = "a mean of days needs no 53 bits")]
        let pace = rng.normal(libm::log(preset.pace * 86_400.0), 1.2) as f32;
        let mut peak = || u8::try_from(world.legit_hour(rng)).unwrap_or_default();
        let peaks = [peak(), peak()];
        let peaks = if rng.chance(0.5) { peaks } else { [peaks[0], 255] };
        let mut used = [Address::default(); MAX_ADDRESSES];
        used[0] = address;
        let mut person =
            SynthPerson { remaining, done: 0, home, pace, peaks, used, used_len: 1, last: SynthSignIn::default(), next: SynthSignIn { at: 0, address, agent } };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a year of seconds fits")]
        let start = from + (rng.unit() * span as f64) as i64;
        person.next.at = person.at_typical_hour(world, rng, start);
        person
    }

    /// Ends the present sign-in and draws the next one.
    pub(super) fn advance(&mut self, world: &World, rng: &mut SynthRng, preset: &Preset) {
        self.done += 1;
        self.remaining -= 1;
        let last = self.next;
        self.last = last;
        if self.remaining == 0 {
            return;
        }
        let burst = rng.chance(0.22);
        let gap = if burst {
            // Log-uniform from 20 seconds to an hour.
            libm::exp(libm::log(20.0) + rng.unit() * libm::log(180.0))
        } else {
            rng.lognormal(f64::from(self.pace), 1.2).clamp(20.0, 300.0 * 86_400.0)
        };
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let gap = gap as i64;
        let mut at = last.at + gap;
        if gap >= 86_400 {
            at = self.at_typical_hour(world, rng, at).max(last.at + 3_600);
        }
        let address = self.address_after(world, rng, preset, at);
        self.store_address(address);
        let mut agent = last.agent;
        if !burst && rng.chance(preset.new_agent) {
            let device = if rng.chance(preset.new_device) { world.device(rng) } else { agent.device };
            agent = world.agent(device, rng);
        }
        self.next = SynthSignIn { at, address, agent };
    }

    /// Draws the address of a sign-in at this time: a new one, or one that was used.
    pub(super) fn address_after(&self, world: &World, rng: &mut SynthRng, preset: &Preset, at: i64) -> Address {
        if preset.vpn > 0.0 && rng.chance(preset.vpn) {
            return world.address_of_vpn(rng);
        }
        let gap = at - self.last.at;
        let probability = NEW_ADDRESS.iter().find(|(below, _)| gap < *below).map_or(0.74, |(_, probability)| *probability);
        if rng.chance(probability * preset.new_address) {
            self.new_address(world, rng, preset, self.last.address)
        } else {
            self.used[rng.recent(usize::from(self.used_len))]
        }
    }

    /// Draws a new address.
    fn new_address(&self, world: &World, rng: &mut SynthRng, preset: &Preset, last: Address) -> Address {
        if !rng.chance(preset.new_provider) {
            return world.address_of(last.country, last.provider, rng);
        }
        let country = if rng.chance(preset.new_country) { world.country(rng) } else { self.home };
        world.address_in(country, rng)
    }

    /// Stores an address as the latest one.
    fn store_address(&mut self, address: Address) {
        let used = &mut self.used[..usize::from(self.used_len)];
        if let Some(at) = used.iter().position(|old| *old == address) {
            used[at..].rotate_left(1);
        } else if used.len() < MAX_ADDRESSES {
            self.used[usize::from(self.used_len)] = address;
            self.used_len += 1;
        } else {
            used.rotate_left(1);
            used[MAX_ADDRESSES - 1] = address;
        }
    }

    /// Moves a time to a typical hour of the same day, in the time zone of the home country. In three of four cases the hour is typical of the
    /// person, otherwise of all people.
    fn at_typical_hour(&self, world: &World, rng: &mut SynthRng, at: i64) -> i64 {
        let peaks = [self.peaks[0], if self.peaks[1] == 255 { self.peaks[0] } else { self.peaks[1] }];
        let hour = if rng.chance(0.75) {
            let peak = f64::from(peaks[rng.below(2)]);
            // A normal deviation of 1.9 hours (half a radian) is close to a von Mises distribution with kappa 4.
            #[expect(clippy::cast_possible_truncation, reason = "hours of a day")]
            let drawn = libm::round(rng.normal(peak, 1.9)) as i64;
            drawn.rem_euclid(24)
        } else {
            world.legit_hour(rng)
        };
        let east = 3_600 * world.hours_east(Address { country: self.home, ..Address::default() });
        let mut day = (at + east).div_euclid(86_400);
        // 1970-01-01 was a Thursday, so days 2 and 3 of these weeks are the weekend.
        let weekday = day.rem_euclid(7);
        if (weekday == 2 || weekday == 3) && !world.stays_on_weekend(rng) {
            day += 4 - weekday;
        }
        let midnight = day * 86_400 - east;
        midnight + hour * 3_600 + i64::try_from(rng.below(3_600)).unwrap_or_default()
    }
}
