//! The distributions of countries, providers, devices and hours, with the published shares of the RBA data set.

use crate::synth::rng::{SynthRng, cumulate, zipf};
use riskgate_engine::{context::Country, user_agent::DeviceType};
use riskgate_network::country;

/// The most frequent countries of the RBA data set, with their shares of successful sign-ins per mille. The others follow Zipf's law.
const TOP_COUNTRIES: [(&str, f64); 5] = [("NO", 706.0), ("US", 91.0), ("PL", 50.0), ("BR", 39.0), ("DE", 21.0)];

/// The next countries by size. Without them, the tail would be in alphabetical order.
const NEXT_COUNTRIES: [&str; 15] = ["RU", "GB", "SE", "DK", "FR", "ES", "IT", "NL", "FI", "UA", "IN", "CN", "TR", "LT", "RO"];

/// The AS numbers of the largest providers of Norway. Other providers have numbers of the private range.
const NORWEGIAN_ASNS: [u32; 5] = [29695, 29492, 41164, 15659, 2119];

/// The AS number of most automated attacks in the RBA data set. The provider is in the US.
pub(super) const BOT_ASN: u32 = 393_398;

/// Weights of successful sign-ins by local hour.
const LEGIT_HOURS: [f64; 24] = [7.5, 5., 5., 6., 6., 8., 11., 18., 27., 31., 33., 33., 32.5, 32.5, 32.5, 32.5, 32.5, 33., 33., 32.5, 32., 28., 20., 12.];

/// Weights of failed sign-ins by hour.
const FAILED_HOURS: [f64; 24] = [13., 11., 14., 18., 20., 22., 25., 31., 35., 38., 40., 40., 40., 40., 40., 41., 44., 46., 43., 40., 37., 33., 27., 20.];

/// Devices: type, operating system, browser, platform of the user agent, share per mille.
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

/// The number of browser versions in use.
const VERSIONS: usize = 400;

/// The distributions, as cumulative weights.
#[derive(Debug)]
pub(super) struct World {
    pub(super) countries: Vec<SynthCountry>,
    shares: Vec<f64>,
    /// Equal weights for all countries.
    equal_shares: Vec<f64>,
    /// Providers by rank: of Norway, of the US, of any other country.
    providers: [Vec<f64>; 3],
    devices: Vec<f64>,
    versions: Vec<f64>,
    legit_hours: Vec<f64>,
    failed_hours: Vec<f64>,
}

/// A country.
#[derive(Debug)]
pub(super) struct SynthCountry {
    pub(super) country: Country,
    /// The offset of solar time from UTC, in hours.
    pub(super) hours_east: i64,
}

/// An address: index of the country, rank of the provider, and host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Address {
    pub(super) country: u8,
    pub(super) provider: u16,
    pub(super) host: u32,
}

/// A user agent: a device and a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SynthUserAgent {
    pub(super) device: u8,
    pub(super) version: u16,
}

impl World {
    pub(super) fn new() -> Self {
        let top = TOP_COUNTRIES.iter().map(|(code, _)| *code).chain(NEXT_COUNTRIES).filter_map(Country::parse);
        let mut order: Vec<Country> = top.collect();
        let others: Vec<Country> = country::all().iter().map(|t| t.country).filter(|country| !order.contains(country)).collect();
        order.extend(others);
        order.truncate(TOP_COUNTRIES.len() + 219);
        let tail = order.len() - TOP_COUNTRIES.len();
        let zipf_sum: f64 = zipf(tail, 1.2).last().copied().unwrap_or(1.0);
        let rest: f64 = 1000.0 - TOP_COUNTRIES.iter().map(|(_, share)| share).sum::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let share = |at: usize| match TOP_COUNTRIES.get(at) {
            Some((_, share)) => *share,
            None => rest / zipf_sum / libm::pow((at - TOP_COUNTRIES.len() + 1) as f64, 1.2),
        };
        #[expect(clippy::cast_possible_truncation, reason = "24 hours fit")]
        let to_country = |country: Country| SynthCountry { country, hours_east: country::of(country).map_or(0, |t| libm::round(t.longitude / 15.0) as i64) };
        World {
            shares: cumulate((0..order.len()).map(share)),
            equal_shares: cumulate(order.iter().map(|_| 1.0)),
            countries: order.into_iter().map(to_country).collect(),
            providers: [zipf(120, 1.1), zipf(400, 1.1), zipf(40, 1.1)],
            devices: cumulate(DEVICES.iter().map(|device| device.4)),
            versions: zipf(VERSIONS, 0.9),
            legit_hours: cumulate(LEGIT_HOURS),
            failed_hours: cumulate(FAILED_HOURS),
        }
    }

    /// Draws a country by its share of legitimate sign-ins.
    pub(super) fn country(&self, rng: &mut SynthRng) -> u8 {
        index(rng.weighted(&self.shares))
    }

    /// Draws an address in a country.
    pub(super) fn address_in(&self, country: u8, rng: &mut SynthRng) -> Address {
        let providers = &self.providers[usize::from(country).min(2)];
        let provider = u16::try_from(rng.weighted(providers)).unwrap_or_default();
        self.address_of(country, provider, rng)
    }

    /// Draws an address of a provider.
    pub(super) fn address_of(&self, country: u8, provider: u16, rng: &mut SynthRng) -> Address {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value has 16 bits")]
        let host = (rng.unit() * 65_536.0) as u32;
        Address { country, provider, host }
    }

    /// Draws an address. All countries are equally likely, and all providers of a country.
    pub(super) fn address_anywhere(&self, rng: &mut SynthRng) -> Address {
        let country = index(rng.weighted(&self.equal_shares));
        let provider = u16::try_from(rng.below(self.providers[usize::from(country).min(2)].len())).unwrap_or_default();
        self.address_of(country, provider, rng)
    }

    /// Draws an address of the bots' provider.
    pub(super) fn address_of_bots(&self, rng: &mut SynthRng) -> Address {
        self.address_of(1, u16::MAX, rng)
    }

    /// Draws a device by its share.
    pub(super) fn device(&self, rng: &mut SynthRng) -> u8 {
        index(rng.weighted(&self.devices))
    }

    /// Draws a user agent on a device.
    pub(super) fn agent(&self, device: u8, rng: &mut SynthRng) -> SynthUserAgent {
        SynthUserAgent { device, version: u16::try_from(rng.weighted(&self.versions)).unwrap_or_default() }
    }

    /// Draws the local hour of a successful sign-in.
    pub(super) fn legit_hour(&self, rng: &mut SynthRng) -> i64 {
        i64::from(index(rng.weighted(&self.legit_hours)))
    }

    /// Draws the hour of a failed sign-in.
    pub(super) fn failed_hour(&self, rng: &mut SynthRng) -> i64 {
        i64::from(index(rng.weighted(&self.failed_hours)))
    }

    /// Returns the offset of solar time from UTC in the country of an address, in hours.
    pub(super) fn hours_east(&self, address: Address) -> i64 {
        self.countries[usize::from(address.country)].hours_east
    }
}

impl Address {
    /// Returns its AS number.
    pub(super) fn asn(self) -> u32 {
        match (self.country, self.provider) {
            (_, u16::MAX) => BOT_ASN,
            (0, rank) if usize::from(rank) < NORWEGIAN_ASNS.len() => NORWEGIAN_ASNS[usize::from(rank)],
            (country, rank) => 4_200_000_000 + u32::from(country) * 1000 + u32::from(rank),
        }
    }

    /// Returns the first four segments of an IPv6 address in 3ffe::/16, a range of an experiment (6bone) that ended in 2006 and is not
    /// assigned. A provider is a /40, a network a /48 and a host a /64.
    pub(super) fn segments(self) -> [u16; 4] {
        let [network, host] = [(self.host >> 8) as u16 & 0xff, self.host as u16 & 0xff];
        [0x3ffe, u16::from(self.country) << 8 | (self.provider >> 8), (self.provider & 0xff) << 8 | network, host + 1]
    }
}

impl SynthUserAgent {
    pub(super) fn device_type(self) -> DeviceType {
        DEVICES[usize::from(self.device)].0
    }

    pub(super) fn os(self) -> &'static str {
        DEVICES[usize::from(self.device)].1
    }

    pub(super) fn browser(self) -> &'static str {
        DEVICES[usize::from(self.device)].2
    }

    /// Returns the major version and the build of the browser.
    pub(super) fn version(self) -> (u16, u16) {
        (60 + self.version / 16, 3100 + self.version)
    }

    /// Returns the text in the parentheses of the user agent.
    pub(super) fn platform(self) -> &'static str {
        DEVICES[usize::from(self.device)].3
    }
}

fn index(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(u8::MAX)
}
