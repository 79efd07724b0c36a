//! Campaigns against the pool: many attempts on many accounts, each of which looks harmless.
//!
//! Sources of the defaults:
//! - Attempts per address 1.18, and five spikes in four days: an attack with 108 million attempts (`DataDome`, infosecurity-magazine.com,
//!   "How Safe Are Your User Accounts?").
//! - The highest hour had 2.5 times the mean, from residential addresses in the country of the target: 11.8 million attempts (Castle,
//!   "Anatomy of a 6-day credential stuffing attack from 2.2M residential IPs").
//! - Addresses in the countries of the target's users 89 %: 8 of 9 million (Cequence, "Mitigation of ongoing Valentine's Day attack").
//! - Names without an account 75 %: 14.0 of 18.7 million failed attempts of the RBA data set. For `spray` 20 % (assumption: names come
//!   from directories).
//! - Right passwords: 0.1 to 2 % of attempts succeed in credential stuffing; here 2 % of those on accounts, 0.5 % of all. `spray`: 1 % of
//!   accounts without password protection (Microsoft, securityweek.com, "New Password Spray Detection for Azure").
//! - `spray` uses thousands of addresses with one or two attempts per account and day (the same article). Ten attempts per address are an
//!   assumption.
//! - The shares of residential (70 %), hosting (20 %) and mobile networks (10 %) are assumptions: the reports name all three without shares.

use crate::{
    RowKind, SynthConfig, SynthRecord,
    person::SynthPerson,
    rng::{RngPosition, SynthRng},
    schedule::ScheduledRow,
    world::{Address, SynthUserAgent, World},
};
use riskgate_engine::user_agent::DeviceType;

/// The kind of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignKind {
    /// Credential stuffing from many addresses: each name of a list is tried once or twice, with its leaked passwords.
    Botnet,
    /// Password spraying: one common password on every name, then the next one.
    Spray,
}

/// How the attempts are distributed over the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignShape {
    /// Five spikes with 55 % of the attempts in a quarter of the time, and a trickle.
    Bursts,
    /// The same rate all the time.
    Trickle,
}

/// A campaign against the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Campaign {
    /// The kind of the campaign.
    pub kind: CampaignKind,
    /// The number of attempts.
    pub attempts: u32,
    /// The first attempt, in seconds after the start of the log.
    pub start: i64,
    /// The time of the campaign, in seconds.
    pub duration: i64,
    /// The number of addresses.
    pub addresses: u32,
    /// The share of names without an account, 0 to 1.
    pub unknown: f64,
    /// The share of attempts on accounts with the right password, 0 to 1.
    pub success: f64,
    /// The number of user agents.
    pub agents: u32,
    /// How the attempts are distributed over the time.
    pub shape: CampaignShape,
}

/// The probability that `botnet` tries a name twice (assumption). Lists have few passwords per name.
const SECOND_TRY: f64 = 0.2;

/// How many passwords `spray` tries (assumption).
const SPRAY_PASSWORDS: u32 = 2;

/// The share of residential addresses, and of residential or hosting addresses. The others are mobile.
const RESIDENTIAL: f64 = 0.7;
const RESIDENTIAL_OR_HOSTING: f64 = 0.9;

/// The share of residential addresses that have the countries of the pool's users. The others are anywhere.
const SAME_COUNTRIES: f64 = 0.89;

/// The number of spikes, the share of the attempts in them, and the share of the time that each takes.
const SPIKES: usize = 5;
const IN_SPIKES: f64 = 0.55;
const SPIKE_LENGTH: f64 = 0.05;

impl CampaignKind {
    /// Returns the label in the column `Attack`.
    pub fn as_label(self) -> &'static str {
        match self {
            CampaignKind::Botnet => "botnet",
            CampaignKind::Spray => "spray",
        }
    }
}

impl Campaign {
    /// Creates a campaign with the default shares: 10,000 attempts within six hours (`botnet`) or a day (`spray`), on day 180 of the log.
    pub fn new(kind: CampaignKind) -> Self {
        let attempts = 10_000;
        let addresses = Self::default_addresses(kind, attempts);
        let start = 180 * 86_400;
        match kind {
            CampaignKind::Botnet => {
                Campaign { kind, attempts, start, duration: 6 * 3_600, addresses, unknown: 0.75, success: 0.02, agents: 4, shape: CampaignShape::Bursts }
            }
            CampaignKind::Spray => {
                Campaign { kind, attempts, start, duration: 86_400, addresses, unknown: 0.2, success: 0.01, agents: 2, shape: CampaignShape::Trickle }
            }
        }
    }

    /// Returns the number of addresses for a number of attempts.
    pub(crate) fn default_addresses(kind: CampaignKind, attempts: u32) -> u32 {
        match kind {
            CampaignKind::Botnet => (attempts / 118 * 100 + attempts % 118 * 100 / 118).max(1),
            CampaignKind::Spray => attempts.div_ceil(10).max(1),
        }
    }

    /// Generates the rows.
    pub(crate) fn rows(&self, config: &SynthConfig, world: &World, people: &[SynthPerson], stream: u64) -> Vec<ScheduledRow> {
        let event_rng = |event: u64| RngPosition { seed: config.seed, stream, event }.rng();
        let mut rng = event_rng(0);
        let agents: Vec<SynthUserAgent> = (0..self.agents.max(1)).map(|_| world.agent(world.device(&mut rng), &mut rng)).collect();
        let spikes: Vec<f64> = (0..SPIKES).map(|_| rng.unit() * (1.0 - SPIKE_LENGTH)).collect();
        let names = self.names(&mut event_rng(1));
        // Each attempt, name and address has its own random numbers. The first two events are taken.
        let [first_address, first_name] = [1_u64 << 32, 2_u64 << 32];
        let addresses: Vec<Address> = (0..self.addresses.max(1)).map(|n| self.address(world, people, &mut event_rng(first_address + u64::from(n)))).collect();
        let mut times: Vec<i64> = (0..self.attempts).map(|n| config.from + self.start + self.time(&spikes, &mut event_rng(2 + u64::from(n)))).collect();
        times.sort_unstable();
        let attempt = |(name, at): (u32, i64)| {
            let user = self.user(config, people, name, &mut event_rng(first_name + u64::from(name)));
            let passed = user < config.users && rng.chance(self.success);
            let (address, agent) = (addresses[rng.below(addresses.len())], agents[rng.below(agents.len())]);
            ScheduledRow::Complete(SynthRecord { at, user, kind: RowKind::Campaign { kind: self.kind, passed }, address, agent })
        };
        names.into_iter().zip(times).map(attempt).collect()
    }

    /// Returns the number of the name of each attempt.
    fn names(&self, rng: &mut SynthRng) -> Vec<u32> {
        let mut next = 0;
        let mut is_second = true;
        let mut botnet = |_| {
            is_second = !is_second && rng.chance(SECOND_TRY);
            next += u32::from(!is_second);
            next - 1
        };
        match self.kind {
            CampaignKind::Botnet => (0..self.attempts).map(&mut botnet).collect(),
            CampaignKind::Spray => {
                let names = self.attempts.div_ceil(SPRAY_PASSWORDS).max(1);
                (0..self.attempts).map(|attempt| attempt % names).collect()
            }
        }
    }

    /// Draws the user of a name: one who has signed in before the campaign, or a number that is not an account's.
    fn user(&self, config: &SynthConfig, people: &[SynthPerson], name: u32, rng: &mut SynthRng) -> u32 {
        let unknown = config.users.saturating_add(name);
        if rng.chance(self.unknown) {
            return unknown;
        }
        let is_account = |user: &usize| people[*user].next.at < config.from + self.start;
        let account = (0..100).map(|_| rng.below(people.len())).find(is_account);
        account.and_then(|user| u32::try_from(user).ok()).unwrap_or(unknown)
    }

    /// Draws an address.
    fn address(&self, world: &World, people: &[SynthPerson], rng: &mut SynthRng) -> Address {
        let kind = rng.unit();
        if kind < RESIDENTIAL {
            return if rng.chance(SAME_COUNTRIES) { world.address_in(world.country(rng), rng) } else { world.address_anywhere(rng) };
        }
        if kind < RESIDENTIAL_OR_HOSTING {
            return world.address_of_hosting(rng);
        }
        // Mobile networks share addresses: this one is that of a user's phone.
        let is_phone = |user: &usize| people[*user].next.agent.device_type() == DeviceType::Mobile;
        let phone = (0..100).map(|_| rng.below(people.len())).find(is_phone);
        phone.map_or_else(|| world.address_in(world.country(rng), rng), |user| people[user].next.address)
    }

    /// Draws the time of an attempt, in seconds after the start of the campaign.
    fn time(&self, spikes: &[f64], rng: &mut SynthRng) -> i64 {
        let part = match self.shape {
            CampaignShape::Bursts if rng.chance(IN_SPIKES) => spikes[rng.below(spikes.len())] + rng.unit() * SPIKE_LENGTH,
            CampaignShape::Bursts | CampaignShape::Trickle => rng.unit(),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds of days fit")]
        let seconds = (part * self.duration as f64) as i64;
        seconds
    }
}
