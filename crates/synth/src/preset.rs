//! How people behave, and where they are.

use crate::world::DEVICE_COUNT;

/// How often people sign in with new values, when, and from where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// A factor of the probability of a new address. 1 is that of the RBA data set.
    pub new_address: f64,
    /// The share of new addresses with a new provider.
    pub new_provider: f64,
    /// The share of new providers in a new country.
    pub new_country: f64,
    /// The share of sign-ins outside a burst with a new user agent.
    pub new_agent: f64,
    /// The share of new user agents on a new device.
    pub new_device: f64,
    /// The share of sign-ins through a VPN with a few addresses that all people share.
    pub vpn: f64,
    /// Mean and deviation of ln(sign-ins of a person).
    pub sign_ins: (f64, f64),
    /// The median of the days between a person's sign-ins, over the people.
    pub pace: f64,
    /// The share of sign-ins on a weekend that stay there. The others are on the Monday after it.
    pub weekend: f64,
    /// Weights of sign-ins by local hour.
    pub hours: &'static [f64; 24],
    /// Shares of the most frequent countries, per mille, Norway and the US first. The others follow Zipf's law.
    pub countries: &'static [(&'static str, f64)],
    /// Shares of the devices, per mille: four phones, six computers, two tablets.
    pub devices: &'static [f64; DEVICE_COUNT],
}

/// The shares of devices in the RBA data set.
const DEVICES: [f64; DEVICE_COUNT] = [230.0, 180.0, 60.0, 27.0, 210.0, 70.0, 40.0, 90.0, 55.0, 14.0, 18.0, 6.0];

/// The most frequent countries of the RBA data set.
const RBA_COUNTRIES: [(&str, f64); 5] = [("NO", 706.0), ("US", 91.0), ("PL", 50.0), ("BR", 39.0), ("DE", 21.0)];

/// Weights of successful sign-ins by local hour in the RBA data set.
const LEGIT_HOURS: [f64; 24] = [7.5, 5., 5., 6., 6., 8., 11., 18., 27., 31., 33., 33., 32.5, 32.5, 32.5, 32.5, 32.5, 33., 33., 32.5, 32., 28., 20., 12.];

/// Office hours, with a few sign-ins before and after (assumption).
const OFFICE_HOURS: [f64; 24] = [0.3, 0.2, 0.2, 0.2, 0.5, 2., 8., 35., 80., 70., 45., 35., 30., 45., 40., 30., 25., 12., 6., 4., 3., 2., 1., 0.5];

impl Preset {
    /// The RBA data set, from a Norwegian single sign-on service. Its synthesis made new networks and user agents frequent.
    pub const RBA: Preset = Preset {
        new_address: 1.0,
        new_provider: 0.72,
        new_country: 1.0,
        new_agent: 0.68,
        new_device: 0.30,
        vpn: 0.0,
        sign_ins: (1.02, 1.02),
        pace: 5.0,
        weekend: 1.0,
        hours: &LEGIT_HOURS,
        countries: &RBA_COUNTRIES,
        devices: &DEVICES,
    };

    /// A shop or a bank in one country, whose customers seldom change provider or device (assumption).
    pub const CONSUMER: Preset = Preset { new_provider: 0.35, new_country: 0.12, new_agent: 0.17, ..Preset::RBA };

    /// An app in India, on phones that change their address often and their provider seldom (assumption).
    pub const MOBILE_FIRST: Preset = Preset {
        new_address: 1.3,
        new_provider: 0.25,
        new_country: 0.02,
        new_agent: 0.25,
        new_device: 0.08,
        countries: &[("NO", 0.5), ("US", 20.0), ("IN", 860.0), ("BD", 40.0), ("AE", 20.0), ("NP", 15.0), ("GB", 10.0)],
        devices: &[60.0, 620.0, 180.0, 40.0, 50.0, 6.0, 4.0, 8.0, 6.0, 2.0, 8.0, 16.0],
        ..Preset::RBA
    };

    /// A company with offices in a few countries, office hours and a VPN, whose staff sign in on most days (assumption).
    pub const ENTERPRISE: Preset = Preset {
        new_provider: 0.30,
        new_country: 0.10,
        new_agent: 0.10,
        new_device: 0.10,
        vpn: 0.35,
        sign_ins: (2.3, 0.9),
        pace: 1.5,
        weekend: 0.1,
        hours: &OFFICE_HOURS,
        countries: &[("NO", 10.0), ("US", 160.0), ("DE", 560.0), ("GB", 100.0), ("IN", 70.0), ("PL", 40.0), ("FR", 30.0)],
        devices: &[70.0, 50.0, 10.0, 2.0, 420.0, 200.0, 40.0, 70.0, 110.0, 20.0, 6.0, 2.0],
        ..Preset::RBA
    };

    /// A service without a majority country (assumption).
    pub const GLOBAL: Preset = Preset {
        new_provider: 0.40,
        new_country: 0.08,
        new_agent: 0.20,
        new_device: 0.25,
        countries: &[
            ("NO", 5.0),
            ("US", 180.0),
            ("IN", 120.0),
            ("BR", 90.0),
            ("GB", 60.0),
            ("DE", 60.0),
            ("ID", 50.0),
            ("MX", 50.0),
            ("FR", 40.0),
            ("PH", 40.0),
            ("TR", 40.0),
            ("JP", 40.0),
            ("NG", 30.0),
        ],
        ..Preset::RBA
    };
}
