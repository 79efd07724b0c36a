//! The invented world: countries, providers, devices, hours, with the shares that the RBA data set's readers published.

use super::dice::{Dice, cumulate, zipf};
use crate::{
    event::{context::Country, user_agent::DeviceType},
    evidence::networks::territory,
};

/// Shares of successful sign-ins, per mille, of the countries that lead the real set; a Zipf tail shares the rest.
const LEADING: [(&str, f64); 5] = [("NO", 706.0), ("US", 91.0), ("PL", 50.0), ("BR", 39.0), ("DE", 21.0)];

/// What comes next in size, so that the tail begins with large countries and not with the alphabet.
const NEXT: [&str; 15] = ["RU", "GB", "SE", "DK", "FR", "ES", "IT", "NL", "FI", "UA", "IN", "CN", "TR", "LT", "RO"];

/// Real numbers of the most used providers; the others get numbers of the private range.
const NORWAY: [u32; 5] = [29695, 29492, 41164, 15659, 2119];

/// The provider that most automated attacks of the real set came from, in the US.
pub(super) const BOTS: u32 = 393_398;

/// Sign-ins by hour, local time.
const LEGIT: [f64; 24] = [7.5, 5., 5., 6., 6., 8., 11., 18., 27., 31., 33., 33., 32.5, 32.5, 32.5, 32.5, 32.5, 33., 33., 32.5, 32., 28., 20., 12.];

/// Failed sign-ins by hour.
const FAILED: [f64; 24] = [13., 11., 14., 18., 20., 22., 25., 31., 35., 38., 40., 40., 40., 40., 40., 41., 44., 46., 43., 40., 37., 33., 27., 20.];

/// Kinds of device with their share per mille, systems and browsers.
const DEVICES: [(DeviceType, &str, &str, &str, f64); 12] = [
    (DeviceType::Mobile, "iOS 13.6", "Mobile Safari", "iPhone; CPU iPhone OS 13_6 like Mac OS X", 230.0),
    (DeviceType::Mobile, "Android 10", "Chrome Mobile", "Linux; Android 10; SM-G973F", 180.0),
    (DeviceType::Mobile, "Android 9", "Samsung Internet", "Linux; Android 9; SM-A505FN", 60.0),
    (DeviceType::Mobile, "Android 10", "Firefox Mobile", "Android 10; Mobile; rv", 27.0),
    (DeviceType::Desktop, "Windows 10", "Chrome", "Windows NT 10.0; Win64; x64", 210.0),
    (DeviceType::Desktop, "Windows 10", "Edge", "Windows NT 10.0; Win64; x64; Edg", 70.0),
    (DeviceType::Desktop, "Windows 10", "Firefox", "Windows NT 10.0; Win64; x64; rv", 40.0),
    (DeviceType::Desktop, "Mac OS X 10.15", "Safari", "Macintosh; Intel Mac OS X 10_15_6", 90.0),
    (DeviceType::Desktop, "Mac OS X 10.15", "Chrome", "Macintosh; Intel Mac OS X 10_15_5", 55.0),
    (DeviceType::Desktop, "Linux", "Firefox", "X11; Linux x86_64; rv", 14.0),
    (DeviceType::Tablet, "iOS 13.6", "Mobile Safari", "iPad; CPU OS 13_6 like Mac OS X", 18.0),
    (DeviceType::Tablet, "Android 9", "Chrome", "Linux; Android 9; SM-T510", 6.0),
];

/// Versions of a browser that are about.
const VERSIONS: usize = 400;

/// Tables to draw from.
#[derive(Debug)]
pub(super) struct World {
    pub(super) countries: Vec<Land>,
    shares: Vec<f64>,
    anywhere: Vec<f64>,
    providers: [Vec<f64>; 3],
    devices: Vec<f64>,
    versions: Vec<f64>,
    legit_hours: Vec<f64>,
    failed_hours: Vec<f64>,
}

/// A country of the world.
#[derive(Debug)]
pub(super) struct Land {
    pub(super) country: Country,
    /// Hours that the sun is ahead of Greenwich.
    pub(super) hours_east: i64,
}

/// An address: country by its place in the world, provider by rank, and host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Address {
    pub(super) country: u8,
    pub(super) provider: u16,
    pub(super) host: u32,
}

/// A user agent: a device and a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agent {
    pub(super) device: u8,
    pub(super) version: u16,
}

impl World {
    pub(super) fn new() -> Self {
        let named = LEADING.iter().map(|(code, _)| *code).chain(NEXT).filter_map(Country::parse);
        let mut order: Vec<Country> = named.collect();
        let rest: Vec<Country> = territory::all().iter().map(|t| t.country).filter(|country| !order.contains(country)).collect();
        order.extend(rest);
        order.truncate(LEADING.len() + 219);
        let tail = order.len() - LEADING.len();
        let zipfs: f64 = zipf(tail, 1.2).last().copied().unwrap_or(1.0);
        let left: f64 = 1000.0 - LEADING.iter().map(|(_, share)| share).sum::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let share = |at: usize| match LEADING.get(at) {
            Some((_, share)) => *share,
            None => left / zipfs / libm::pow((at - LEADING.len() + 1) as f64, 1.2),
        };
        #[expect(clippy::cast_possible_truncation, reason = "24 hours fit")]
        let land = |country: Country| Land { country, hours_east: territory::of(country).map_or(0, |t| libm::round(t.longitude / 15.0) as i64) };
        World {
            shares: cumulate((0..order.len()).map(share)),
            anywhere: cumulate(order.iter().map(|_| 1.0)),
            countries: order.into_iter().map(land).collect(),
            providers: [zipf(120, 1.1), zipf(400, 1.1), zipf(40, 1.1)],
            devices: cumulate(DEVICES.iter().map(|device| device.4)),
            versions: zipf(VERSIONS, 0.9),
            legit_hours: cumulate(LEGIT),
            failed_hours: cumulate(FAILED),
        }
    }

    /// A country as legitimate sign-ins have it.
    pub(super) fn country(&self, dice: &mut Dice) -> u8 {
        index(dice.weighted(&self.shares))
    }

    /// An address in a country.
    pub(super) fn address_in(&self, country: u8, dice: &mut Dice) -> Address {
        let providers = &self.providers[usize::from(country).min(2)];
        let provider = u16::try_from(dice.weighted(providers)).unwrap_or_default();
        self.address_of(country, provider, dice)
    }

    /// An address of a provider.
    pub(super) fn address_of(&self, country: u8, provider: u16, dice: &mut Dice) -> Address {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "16 bits are asked for")]
        let host = (dice.unit() * 65_536.0) as u32;
        Address { country, provider, host }
    }

    /// An address anywhere, every country and provider alike.
    pub(super) fn address_anywhere(&self, dice: &mut Dice) -> Address {
        let country = index(dice.weighted(&self.anywhere));
        let provider = u16::try_from(dice.below(self.providers[usize::from(country).min(2)].len())).unwrap_or_default();
        self.address_of(country, provider, dice)
    }

    /// An address of the bots' provider.
    pub(super) fn address_of_bots(&self, dice: &mut Dice) -> Address {
        self.address_of(1, u16::MAX, dice)
    }

    /// A device as people have them.
    pub(super) fn device(&self, dice: &mut Dice) -> u8 {
        index(dice.weighted(&self.devices))
    }

    /// A user agent on a device.
    pub(super) fn agent(&self, device: u8, dice: &mut Dice) -> Agent {
        Agent { device, version: u16::try_from(dice.weighted(&self.versions)).unwrap_or_default() }
    }

    /// An hour at which people sign in.
    pub(super) fn legit_hour(&self, dice: &mut Dice) -> i64 {
        i64::from(index(dice.weighted(&self.legit_hours)))
    }

    /// An hour at which sign-ins fail.
    pub(super) fn failed_hour(&self, dice: &mut Dice) -> i64 {
        i64::from(index(dice.weighted(&self.failed_hours)))
    }

    /// Hours that clocks in an address's country are ahead of UTC.
    pub(super) fn hours_east(&self, address: Address) -> i64 {
        self.countries[usize::from(address.country)].hours_east
    }
}

impl Address {
    /// The number of its autonomous system.
    pub(super) fn asn(self) -> u32 {
        match (self.country, self.provider) {
            (_, u16::MAX) => BOTS,
            (0, rank) if usize::from(rank) < NORWAY.len() => NORWAY[usize::from(rank)],
            (country, rank) => 4_200_000_000 + u32::from(country) * 1000 + u32::from(rank),
        }
    }

    /// An IPv6 address of 3ffe::/16, which belonged to an experiment that ended in 2006 and is nobody's now: a provider
    /// is a /40, a network a /48 and a host a /64.
    pub(super) fn segments(self) -> [u16; 4] {
        let [network, host] = [(self.host >> 8) as u16 & 0xff, self.host as u16 & 0xff];
        [0x3ffe, u16::from(self.country) << 8 | (self.provider >> 8), (self.provider & 0xff) << 8 | network, host + 1]
    }
}

impl Agent {
    pub(super) fn device_type(self) -> DeviceType {
        DEVICES[usize::from(self.device)].0
    }

    pub(super) fn os(self) -> &'static str {
        DEVICES[usize::from(self.device)].1
    }

    pub(super) fn browser(self) -> &'static str {
        DEVICES[usize::from(self.device)].2
    }

    /// Major and build of the browser's version.
    pub(super) fn version(self) -> (u16, u16) {
        (60 + self.version / 16, 3100 + self.version)
    }

    /// What stands in the user agent's brackets.
    pub(super) fn platform(self) -> &'static str {
        DEVICES[usize::from(self.device)].3
    }
}

fn index(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(u8::MAX)
}
