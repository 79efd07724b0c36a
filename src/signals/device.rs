//! The device: what it says it is, what it gives away, and whether the person has used it.

use smol_str::SmolStr;

use super::familiarity::{Familiarities, Familiarity};
use crate::{
    event::{
        IgnoredInput,
        user_agent::{DeviceType, Oddity},
    },
    evidence::{Evidence, features::Level},
};

/// Facts of the device.
#[derive(Debug, Clone)]
pub struct DeviceSignals {
    /// Whether a user agent was given.
    pub agent: Agent,
    /// What kind of device it claims to be, such as mobile.
    pub device_type: Option<DeviceType>,
    /// Operating system family, such as `Android`.
    pub os: Option<SmolStr>,
    /// Browser family, such as `Chrome`.
    pub browser: Option<SmolStr>,
    /// The person's history with the device type: seen 9 of 12 times.
    pub device_type_familiarity: Familiarity,
    /// With the operating system, on that device type.
    pub os_familiarity: Familiarity,
    /// With the browser, on that operating system.
    pub browser_familiarity: Familiarity,
    /// With the whole user agent, of that browser.
    pub user_agent_familiarity: Familiarity,
    /// With the app's device id.
    pub device_familiarity: Familiarity,
}

/// The user agent at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// None was given.
    Missing,
    /// One that a browser or an app writes, such as `Mozilla/5.0 (..) Chrome/140.0.0.0 Safari/537.36`.
    Plain,
    /// One that names a program, such as `python-requests/2.32`.
    Automation,
    /// One that no browser writes, such as `${jndi:ldap://x}`.
    Impossible,
}

impl DeviceSignals {
    /// Reads the facts. What a caller states beats what the user agent says.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        let context = &evidence.sign_in.context;
        let (stated, parsed) = (&context.stated, context.user_agent.as_ref());
        let agent = match parsed.map(|agent| agent.oddity) {
            None => Agent::Missing,
            Some(Oddity::None) => Agent::Plain,
            Some(Oddity::Automation) => Agent::Automation,
            Some(Oddity::Impossible) => Agent::Impossible,
        };
        DeviceSignals {
            agent,
            device_type: stated.device_type.or(parsed.map(|agent| agent.device_type)),
            os: stated.os.as_ref().or(parsed.map(|agent| &agent.os)).cloned(),
            browser: stated.browser.as_ref().or(parsed.map(|agent| &agent.browser)).cloned(),
            device_type_familiarity: familiarities.at(Level::DeviceType),
            os_familiarity: familiarities.at(Level::Os),
            browser_familiarity: familiarities.at(Level::Browser),
            user_agent_familiarity: familiarities.at(Level::UserAgent),
            device_familiarity: match familiarities.at(Level::Device) {
                // Thousands may have it: it does not speak for the person. A new one is as new as any other.
                Familiarity::Seen { .. } if context.ignored.contains(IgnoredInput::SharedDeviceId) => Familiarity::Unknown,
                familiarity @ (Familiarity::Unknown | Familiarity::Beneath | Familiarity::New { .. } | Familiarity::Seen { .. }) => familiarity,
            },
        }
    }
}
