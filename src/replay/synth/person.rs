//! One invented person: where they live, how often they sign in, what they sign in with.

use super::{
    Preset,
    dice::Dice,
    world::{Address, Agent, World},
};

/// Addresses that a person may go back to.
const REMEMBERED: usize = 6;

/// Chance of a new address by the time since the last sign-in, as read off the published figure.
const NEW_ADDRESS: [(i64, f64); 7] = [(60, 0.023), (600, 0.06), (3_600, 0.106), (86_400, 0.30), (7 * 86_400, 0.45), (30 * 86_400, 0.60), (i64::MAX, 0.74)];

/// A person between two sign-ins.
#[derive(Debug)]
pub(super) struct Person {
    /// Sign-ins still to come, the next included.
    pub(super) left: u16,
    /// Sign-ins done.
    pub(super) done: u16,
    home: u8,
    /// Mean time between sign-ins, ln of seconds.
    pace: f32,
    /// Peaks of the day, local hours; 255 for none.
    peaks: [u8; 2],
    used: [Address; REMEMBERED],
    used_len: u8,
    /// The next sign-in.
    pub(super) next: SignIn,
}

/// A sign-in to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SignIn {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) address: Address,
    pub(super) agent: Agent,
}

impl Person {
    /// Somebody whose first sign-in falls within a span of seconds.
    pub(super) fn new(world: &World, dice: &mut Dice, from: i64, span: i64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..400")]
        let left = libm::floor(dice.lognormal(1.02, 1.02)).clamp(1.0, 400.0) as u16;
        let home = world.country(dice);
        let address = world.address_in(home, dice);
        let device = world.device(dice);
        let agent = world.agent(device, dice);
        #[expect(clippy::cast_possible_truncation, reason = "a mean of days needs no 53 bits")]
        let pace = dice.normal(libm::log(5.0 * 86_400.0), 1.2) as f32;
        let mut peak = || u8::try_from(world.legit_hour(dice)).unwrap_or_default();
        let peaks = [peak(), peak()];
        let peaks = if dice.happens(0.5) { peaks } else { [peaks[0], 255] };
        let mut used = [Address::default(); REMEMBERED];
        used[0] = address;
        let mut person = Person { left, done: 0, home, pace, peaks, used, used_len: 1, next: SignIn { at: 0, address, agent } };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a year of seconds fits")]
        let start = from + (dice.unit() * span as f64) as i64;
        person.next.at = person.at_own_hour(world, dice, start);
        person
    }

    /// Ends the present sign-in and draws the one after it.
    pub(super) fn advance(&mut self, world: &World, dice: &mut Dice, preset: &Preset) {
        self.done += 1;
        self.left -= 1;
        let last = self.next;
        if self.left == 0 {
            return;
        }
        let burst = dice.happens(0.22);
        let gap = if burst {
            // Log-uniform from 20 seconds to an hour.
            libm::exp(libm::log(20.0) + dice.unit() * libm::log(180.0))
        } else {
            dice.lognormal(f64::from(self.pace), 1.2).clamp(20.0, 300.0 * 86_400.0)
        };
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let gap = gap as i64;
        let mut at = last.at + gap;
        if gap >= 86_400 {
            at = self.at_own_hour(world, dice, at).max(last.at + 3_600);
        }
        let gap = at - last.at;
        let chance = NEW_ADDRESS.iter().find(|(below, _)| gap < *below).map_or(0.74, |(_, chance)| *chance);
        let address =
            if dice.happens(chance) { self.new_address(world, dice, preset, last.address) } else { self.used[dice.recent(usize::from(self.used_len))] };
        self.remember(address);
        let mut agent = last.agent;
        if !burst && dice.happens(preset.new_agent) {
            let device = if dice.happens(preset.new_device) { world.device(dice) } else { agent.device };
            agent = world.agent(device, dice);
        }
        self.next = SignIn { at, address, agent };
    }

    fn new_address(&self, world: &World, dice: &mut Dice, preset: &Preset, last: Address) -> Address {
        if !dice.happens(preset.new_provider) {
            return world.address_of(last.country, last.provider, dice);
        }
        let country = if dice.happens(preset.new_country) { world.country(dice) } else { self.home };
        world.address_in(country, dice)
    }

    fn remember(&mut self, address: Address) {
        let used = &mut self.used[..usize::from(self.used_len)];
        if let Some(at) = used.iter().position(|old| *old == address) {
            used[at..].rotate_left(1);
        } else if used.len() < REMEMBERED {
            self.used[usize::from(self.used_len)] = address;
            self.used_len += 1;
        } else {
            used.rotate_left(1);
            used[REMEMBERED - 1] = address;
        }
    }

    /// The same day at an hour of the person's own (three in four) or of people in general, at home's clock.
    fn at_own_hour(&self, world: &World, dice: &mut Dice, at: i64) -> i64 {
        let own = [self.peaks[0], if self.peaks[1] == 255 { self.peaks[0] } else { self.peaks[1] }];
        let hour = if dice.happens(0.75) {
            let peak = f64::from(own[dice.below(2)]);
            // A von Mises peak of kappa 4 is close to a normal one of half a radian, 1.9 hours.
            #[expect(clippy::cast_possible_truncation, reason = "hours of a day")]
            let drawn = libm::round(dice.normal(peak, 1.9)) as i64;
            drawn.rem_euclid(24)
        } else {
            world.legit_hour(dice)
        };
        let east = 3_600 * world.hours_east(Address { country: self.home, ..Address::default() });
        let midnight = (at + east).div_euclid(86_400) * 86_400 - east;
        midnight + hour * 3_600 + i64::try_from(dice.below(3_600)).unwrap_or_default()
    }
}
