//! The distributions of countries, providers, devices and hours, with the published shares of the RBA data set.

use crate::{
    Preset,
    rng::{SynthRng, cumulate, zipf},
};
use riskgate_engine::{context::Country, user_agent::DeviceType};
use riskgate_network::country;

/// The next countries by size. Without them, the tail would be in alphabetical order.
const NEXT_COUNTRIES: [&str; 15] = ["RU", "GB", "SE", "DK", "FR", "ES", "IT", "NL", "FI", "UA", "IN", "CN", "TR", "LT", "RO"];

/// The AS numbers of the largest providers of Norway. Other providers have numbers of the private range.
const NORWEGIAN_ASNS: [u32; 5] = [29695, 29492, 41164, 15659, 2119];

/// The AS number of most automated attacks in the RBA data set. The provider is in the US.
pub(super) const BOT_ASN: u32 = 393_398;

/// Weights of failed sign-ins by hour.
const FAILED_HOURS: [f64; 24] = [13., 11., 14., 18., 20., 22., 25., 31., 35., 38., 40., 40., 40., 40., 40., 41., 44., 46., 43., 40., 37., 33., 27., 20.];

/// The number of kinds of devices.
pub(super) const DEVICE_COUNT: usize = 12;

/// Devices: type, operating system, browser, platform of the user agent.
const DEVICES: [(DeviceType, &str, &str, &str); DEVICE_COUNT] = [
    (DeviceType::Mobile, "iOS 13.6", "Mobile Safari", "iPhone; CPU iPhone OS 13_6 like Mac OS X"),
    (DeviceType::Mobile, "Android 10", "Chrome Mobile", "Linux; Android 10; SM-G973F"),
    (DeviceType::Mobile, "Android 9", "Samsung Internet", "Linux; Android 9; SM-A505FN"),
    (DeviceType::Mobile, "Android 10", "Firefox Mobile", "Android 10; Mobile; rv"),
    (DeviceType::Desktop, "Windows 10", "Chrome", "Windows NT 10.0; Win64; x64"),
    (DeviceType::Desktop, "Windows 10", "Edge", "Windows NT 10.0; Win64; x64; Edg"),
    (DeviceType::Desktop, "Windows 10", "Firefox", "Windows NT 10.0; Win64; x64; rv"),
    (DeviceType::Desktop, "Mac OS X 10.15", "Safari", "Macintosh; Intel Mac OS X 10_15_6"),
    (DeviceType::Desktop, "Mac OS X 10.15", "Chrome", "Macintosh; Intel Mac OS X 10_15_5"),
    (DeviceType::Desktop, "Linux", "Firefox", "X11; Linux x86_64; rv"),
    (DeviceType::Tablet, "iOS 13.6", "Mobile Safari", "iPad; CPU OS 13_6 like Mac OS X"),
    (DeviceType::Tablet, "Android 9", "Chrome", "Linux; Android 9; SM-T510"),
];

/// The number of browser versions in use.
const VERSIONS: usize = 400;

/// A version that only a surge after a release has.
pub(super) const RELEASED_VERSION: u16 = 480;

/// The countries of hosting networks. Half of the addresses are in the first one (assumption).
const HOSTING_COUNTRIES: [&str; 6] = ["US", "DE", "NL", "FR", "GB", "FI"];

/// The rank of the first hosting network of a country. No people use them.
const FIRST_HOSTING_RANK: u16 = 900;

/// The rank of the VPN's provider, and the number of its addresses.
const VPN_RANK: u16 = 950;
const VPN_ADDRESSES: usize = 8;

/// The number of hosting networks in a country.
const HOSTING_NETWORKS: usize = 20;

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
    /// The share of sign-ins on a weekend that stay there.
    weekend: f64,
    /// The most frequent country, in which the VPN is.
    largest: u8,
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
    pub(super) fn new(preset: &Preset) -> Self {
        let mut order: Vec<Country> = preset.countries.iter().filter_map(|(code, _)| Country::parse(code)).collect();
        let next: Vec<Country> = NEXT_COUNTRIES.iter().filter_map(|code| Country::parse(code)).filter(|country| !order.contains(country)).collect();
        order.extend(next);
        let others: Vec<Country> = country::all().iter().map(|t| t.country).filter(|country| !order.contains(country)).collect();
        order.extend(others);
        order.truncate(preset.countries.len() + 219);
        let tail = order.len() - preset.countries.len();
        let zipf_sum: f64 = zipf(tail, 1.2).last().copied().unwrap_or(1.0);
        let rest: f64 = 1000.0 - preset.countries.iter().map(|(_, share)| share).sum::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let share = |at: usize| match preset.countries.get(at) {
            Some((_, share)) => *share,
            None => rest / zipf_sum / libm::pow((at - preset.countries.len() + 1) as f64, 1.2),
        };
        #[expect(clippy::cast_possible_truncation, reason = "24 hours fit")]
        let to_country = |country: Country| SynthCountry { country, hours_east: country::of(country).map_or(0, |t| libm::round(t.longitude / 15.0) as i64) };
        let largest = (0..preset.countries.len()).max_by(|a, b| preset.countries[*a].1.total_cmp(&preset.countries[*b].1)).unwrap_or_default();
        World {
            weekend: preset.weekend,
            largest: index(largest),
            shares: cumulate((0..order.len()).map(share)),
            equal_shares: cumulate(order.iter().map(|_| 1.0)),
            countries: order.into_iter().map(to_country).collect(),
            providers: [zipf(120, 1.1), zipf(400, 1.1), zipf(40, 1.1)],
            devices: cumulate(*preset.devices),
            versions: zipf(VERSIONS, 0.9),
            legit_hours: cumulate(*preset.hours),
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

    /// Draws an address of a hosting network.
    pub(super) fn address_of_hosting(&self, rng: &mut SynthRng) -> Address {
        let code = HOSTING_COUNTRIES[if rng.chance(0.5) { 0 } else { 1 + rng.below(HOSTING_COUNTRIES.len() - 1) }];
        let country = self.countries.iter().position(|country| country.country.as_str() == code).unwrap_or_default();
        self.address_of(index(country), FIRST_HOSTING_RANK + u16::from(index(rng.below(HOSTING_NETWORKS))), rng)
    }

    /// Draws an address of the VPN.
    pub(super) fn address_of_vpn(&self, rng: &mut SynthRng) -> Address {
        Address { country: self.largest, provider: VPN_RANK, host: u32::from(index(rng.below(VPN_ADDRESSES))) }
    }

    /// Whether a sign-in on a weekend stays there.
    pub(super) fn stays_on_weekend(&self, rng: &mut SynthRng) -> bool {
        self.weekend >= 1.0 || rng.chance(self.weekend)
    }

    /// Draws a device by its share.
    pub(super) fn device(&self, rng: &mut SynthRng) -> u8 {
        index(rng.weighted(&self.devices))
    }

    /// Draws a phone by its share.
    pub(super) fn phone(&self, rng: &mut SynthRng) -> u8 {
        let phones = DEVICES.iter().take_while(|device| device.0 == DeviceType::Mobile).count();
        index(rng.weighted(&self.devices[..phones]))
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
