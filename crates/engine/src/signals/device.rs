//! Device signals: the claimed device, anomalies of its user agent, and whether the user has used it.

use smol_str::SmolStr;

use crate::signals::familiarity::{Familiarities, Familiarity};
use crate::{
    evidence::Evidence,
    features::FeatureLevel,
    ignored::IgnoredInput,
    user_agent::{DeviceType, UserAgentAnomaly},
};

/// Facts about the device.
#[derive(Debug, Clone)]
pub struct DeviceSignals {
    /// The kind of user agent.
    pub user_agent_kind: UserAgentKind,
    /// The device type, such as mobile.
    pub device_type: Option<DeviceType>,
    /// Operating system family, such as `Android`.
    pub os: Option<SmolStr>,
    /// Browser family, such as `Chrome`.
    pub browser: Option<SmolStr>,
    /// Familiarity of the device type, such as seen 9 of 12 times.
    pub device_type_familiarity: Familiarity,
    /// Familiarity of the operating system, on that device type.
    pub os_familiarity: Familiarity,
    /// Familiarity of the browser, on that operating system.
    pub browser_familiarity: Familiarity,
    /// Familiarity of the complete user agent, of that browser.
    pub user_agent_familiarity: Familiarity,
    /// Familiarity of the app's device id.
    pub device_familiarity: Familiarity,
}

/// A kind of user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAgentKind {
    /// No user agent was given.
    Missing,
    /// A browser or an app, such as `Mozilla/5.0 (..) Chrome/140.0.0.0 Safari/537.36`.
    Plain,
    /// An automated client, such as `python-requests/2.32`.
    Automation,
    /// A text that no browser sends, such as `${jndi:ldap://x}`.
    Impossible,
}

impl DeviceSignals {
    /// Derives the signals. Facts asserted by the caller take precedence over the user agent.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        let context = &evidence.sign_in.context;
        let (asserted, parsed) = (&context.asserted, context.user_agent.as_ref());
        let user_agent_kind = match parsed.map(|agent| agent.anomaly) {
            None => UserAgentKind::Missing,
            Some(UserAgentAnomaly::None) => UserAgentKind::Plain,
            Some(UserAgentAnomaly::Automation) => UserAgentKind::Automation,
            Some(UserAgentAnomaly::Impossible) => UserAgentKind::Impossible,
        };
        DeviceSignals {
            user_agent_kind,
            device_type: asserted.device_type.or(parsed.map(|agent| agent.device_type)),
            os: asserted.os.as_ref().or(parsed.map(|agent| &agent.os)).cloned(),
            browser: asserted.browser.as_ref().or(parsed.map(|agent| &agent.browser)).cloned(),
            device_type_familiarity: familiarities.at(FeatureLevel::DeviceType),
            os_familiarity: familiarities.at(FeatureLevel::Os),
            browser_familiarity: familiarities.at(FeatureLevel::Browser),
            user_agent_familiarity: familiarities.at(FeatureLevel::UserAgent),
            device_familiarity: match familiarities.at(FeatureLevel::Device) {
                // A shared id does not count in the user's favour. If it is new to the user, it counts like any other id.
                Familiarity::Seen { .. } if context.ignored.contains(IgnoredInput::SharedDeviceId) => Familiarity::Unknown,
                familiarity @ (Familiarity::Unknown | Familiarity::ParentIsNew | Familiarity::Updated | Familiarity::New { .. } | Familiarity::Seen { .. }) => {
                    familiarity
                }
            },
        }
    }
}
