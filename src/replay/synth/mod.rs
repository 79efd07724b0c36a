//! Invented sign-ins: people, their failed attempts, bots, and five kinds of attackers, in order of time.
//!
//! The generator of the benchmark that the model was made on: shares and novelty follow what was
//! published of the RBA data set (Wiefling et al., TOPS 2022), attackers follow its attacker models. The hours of
//! people and the preset `consumer` are assumptions. Memory grows with people, not with rows.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use self::{
    dice::Dice,
    person::{Person, SignIn},
    world::{Address, Agent, World},
};

mod dice;

mod person;

mod row;

mod world;

pub use self::row::{HEADER, write};

/// What is to be invented.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// How many people.
    pub users: u32,
    /// The seed: the same one gives the same bytes, on any machine.
    pub seed: u64,
    /// How people behave.
    pub preset: Preset,
    /// The share of sign-ins that attackers of each kind imitate.
    pub attacks: f64,
    /// The first second.
    pub from: i64,
}

/// How often people bring something new.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Of new addresses, those of a provider drawn anew.
    pub new_provider: f64,
    /// Of those, those of a country drawn anew.
    pub new_country: f64,
    /// Of sign-ins outside a burst, those with a user agent drawn anew.
    pub new_agent: f64,
    /// Of those, those on a device drawn anew.
    pub new_device: f64,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The person, with the right password.
    Success,
    /// The person, with a typing error; or a bot, with a guess.
    Failure,
    /// An attacker with the right password.
    Attack(Attacker),
}

/// The attackers of the published models, and stuffing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attacker {
    /// From anywhere, with a common browser.
    Naive,
    /// With an address in the person's country.
    Vpn,
    /// With an address of the person's provider, and the very same user agent.
    Targeted,
    /// As recorded takeovers: rare country and provider.
    Takeover,
    /// A list of passwords tried by bots.
    Stuffing,
}

/// One invented row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Seconds since 1970.
    pub at: i64,
    /// Whose account.
    pub user: u32,
    /// What it is.
    pub kind: Kind,
    address: Address,
    agent: Agent,
}

/// The stream of rows.
#[derive(Debug)]
pub struct Synth {
    recipe: Recipe,
    world: World,
    people: Vec<Person>,
    /// People by country, and by country and provider, of their first address: where donors are looked for.
    by_country: HashMap<u8, Vec<u32>>,
    by_provider: HashMap<(u8, u16), Vec<u32>>,
    due: BinaryHeap<Reverse<(i64, Turn, u32)>>,
    ready: std::collections::VecDeque<Row>,
}

/// Whose turn it is at a moment: attackers come before the person whom they imitate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Attack,
    Person,
}

// === impl Preset ===

impl Preset {
    /// The RBA data set: a Norwegian single sign-on, whose synthesis made new networks and agents frequent.
    pub const RBA: Preset = Preset { new_provider: 0.72, new_country: 1.0, new_agent: 0.68, new_device: 0.30 };

    /// A shop or a bank in one country: people seldom change provider or device (assumed).
    pub const CONSUMER: Preset = Preset { new_provider: 0.35, new_country: 0.12, new_agent: 0.17, new_device: 0.30 };
}

// === impl Attacker ===

impl Attacker {
    /// All of them.
    pub const ALL: [Attacker; 5] = [Attacker::Naive, Attacker::Vpn, Attacker::Targeted, Attacker::Takeover, Attacker::Stuffing];

    /// The label in the column `Attack`.
    pub fn as_label(self) -> &'static str {
        match self {
            Attacker::Naive => "naive",
            Attacker::Vpn => "vpn",
            Attacker::Targeted => "targeted",
            Attacker::Takeover => "takeover",
            Attacker::Stuffing => "stuffing",
        }
    }
}

// === impl Synth ===

/// Seconds over which people begin.
const SPAN: i64 = 365 * 86_400;

impl Synth {
    /// Invents the people; rows come as they are asked for.
    pub fn new(recipe: Recipe) -> Self {
        let world = World::new();
        let mut people = Vec::with_capacity(recipe.users as usize);
        let (mut by_country, mut by_provider) = (HashMap::<u8, Vec<u32>>::new(), HashMap::<(u8, u16), Vec<u32>>::new());
        for user in 0..recipe.users {
            let person = Person::new(&world, &mut Dice::of(recipe.seed, u64::from(user), 0), recipe.from, SPAN);
            let address = person.next.address;
            by_country.entry(address.country).or_default().push(user);
            by_provider.entry((address.country, address.provider)).or_default().push(user);
            people.push(person);
        }
        let due = people.iter().zip(0..).map(|(person, user)| Reverse((person.next.at, Turn::Person, user))).collect();
        Synth { recipe, world, people, by_country, by_provider, due, ready: std::collections::VecDeque::new() }
    }

    fn turn(&mut self, at: i64, turn: Turn, user: u32) {
        let event = u64::from(self.people[user as usize].done);
        match turn {
            Turn::Person => self.sign_in(user, &mut Dice::of(self.recipe.seed, u64::from(user), 2 * event + 1)),
            Turn::Attack => self.attack(at, user, &mut Dice::of(self.recipe.seed, u64::from(user), 2 * event + 2)),
        }
    }

    /// The person signs in, after a typing error maybe; bots guess at others meanwhile.
    fn sign_in(&mut self, user: u32, dice: &mut Dice) {
        let SignIn { at, address, agent } = self.people[user as usize].next;
        let row = |kind| Row { at, user, kind, address, agent };
        if dice.happens(0.5) {
            self.ready.push_back(row(Kind::Failure));
        }
        self.ready.push_back(row(Kind::Success));
        if dice.happens(0.7) {
            let address = if dice.happens(0.62) { self.world.address_of_bots(dice) } else { self.world.address_anywhere(dice) };
            let device = self.world.device(dice);
            let agent = self.world.agent(device, dice);
            let user = u32::try_from(dice.below(self.people.len())).unwrap_or_default();
            self.ready.push_back(Row { at, user, kind: Kind::Failure, address, agent });
        }
        let person = &mut self.people[user as usize];
        person.advance(&self.world, dice, &self.recipe.preset);
        if person.left == 0 {
            return;
        }
        let next = person.next.at;
        self.due.push(Reverse((next, Turn::Person, user)));
        if dice.happens(self.recipe.attacks) {
            // Attackers keep hours of their own, where the person's pause leaves them a choice.
            let mut when = next;
            if next - at > 86_400 {
                when = next.div_euclid(86_400) * 86_400 + self.world.failed_hour(dice) * 3_600 + i64::try_from(dice.below(3_600)).unwrap_or_default();
                when = if when > next { when - 86_400 } else { when };
                when = if when <= at { next } else { when };
            }
            self.due.push(Reverse((when, Turn::Attack, user)));
        }
    }

    /// One attacker of each kind imitates the person's next sign-in.
    fn attack(&mut self, at: i64, user: u32, dice: &mut Dice) {
        // The sign-in that is imitated: what its person will bring, an attacker who copies them brings too.
        let known = self.people[user as usize].next;
        for attacker in Attacker::ALL {
            let (address, agent) = match attacker {
                Attacker::Naive => {
                    let donor = self.donor(user, None, dice);
                    (self.or_anywhere(donor.address, dice), donor.agent)
                }
                Attacker::Vpn => {
                    let country = known.address.country;
                    let donor = self.donor(user, self.by_country.get(&country), dice);
                    let address = if donor.address.country == country { donor.address } else { self.world.address_in(country, dice) };
                    (address, donor.agent)
                }
                Attacker::Targeted => {
                    let Address { country, provider, .. } = known.address;
                    let donor = self.donor(user, self.by_provider.get(&(country, provider)), dice);
                    let same = donor.address.country == country && donor.address.provider == provider;
                    (if same { donor.address } else { self.world.address_of(country, provider, dice) }, known.agent)
                }
                Attacker::Takeover => {
                    let donor = self.donor(user, None, dice);
                    let address = if dice.happens(0.88) { self.world.address_anywhere(dice) } else { self.world.address_in(known.address.country, dice) };
                    (address, donor.agent)
                }
                Attacker::Stuffing => {
                    let donor = self.donor(user, None, dice);
                    (if dice.happens(0.62) { self.world.address_of_bots(dice) } else { self.or_anywhere(donor.address, dice) }, donor.agent)
                }
            };
            self.ready.push_back(Row { at, user, kind: Kind::Attack(attacker), address, agent });
        }
    }

    fn or_anywhere(&self, address: Address, dice: &mut Dice) -> Address {
        if address.country == u8::MAX { self.world.address_anywhere(dice) } else { address }
    }

    /// What somebody else will sign in with later: no model can have learned it from the log's past.
    fn donor(&self, victim: u32, among: Option<&Vec<u32>>, dice: &mut Dice) -> SignIn {
        for _ in 0..20 {
            let user = match among {
                Some(list) => list[dice.below(list.len())] as usize,
                None => dice.below(self.people.len()),
            };
            if self.people[user].left > 0 && user != victim as usize {
                return self.people[user].next;
            }
        }
        // Nobody is left there: a device of no country's, so that the caller draws an address itself.
        let device = self.world.device(dice);
        SignIn { at: 0, address: Address { country: u8::MAX, ..Address::default() }, agent: self.world.agent(device, dice) }
    }
}

impl Iterator for Synth {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.ready.is_empty() {
            let Reverse((at, turn, user)) = self.due.pop()?;
            self.turn(at, turn, user);
        }
        self.ready.pop_front()
    }
}
