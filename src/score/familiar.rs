//! The terms of the hierarchical model: how each value of a sign-in compares with the person's history.

use super::{
    Model,
    mixture::{Terms, Told},
    novelty::gap_bucket,
    priors::{Path, Priors},
};
use crate::{
    evidence::features::Level,
    signals::{Acquaintance, DeviceSignals, Familiarity, IpSignals, TimeSignals},
};

/// The terms of a sign-in, each clipped; rarity is left at 0. `floor` is 0 where claims may not lower the score.
pub(super) fn terms_of(
    model: &Model,
    ip: &IpSignals,
    device: &DeviceSignals,
    time: &TimeSignals,
    own_hours: [u8; 24],
    person: Acquaintance,
    floor: f64,
) -> Told {
    let w = &model.weights;
    let gap = gap_bucket(time.gap.unwrap_or_default());
    let mut told = Told::default();
    let mut level = |place: fn(&mut Terms) -> &mut f64, (ratio, speaks): (f64, Speaks)| {
        let full = ratio.clamp(-w.clip, w.clip).max(floor);
        let strict = match speaks {
            Speaks::Yes => full,
            Speaks::NotYet => full.max(0.0),
        };
        *place(&mut told.full) = full;
        *place(&mut told.strict) = strict;
        *place(&mut told.calm) = strict.min(0.0);
    };
    let term = |level: Level, familiarity: Familiarity, ln_share: &dyn Fn() -> f64| match familiarity {
        Familiarity::Unknown | Familiarity::Beneath => (0.0, Speaks::Yes),
        Familiarity::New { of } => (-model.novelty.ln_rate(level, of, gap).0, Speaks::Yes),
        Familiarity::Seen { count, of, established } => {
            let ratio = ln_share() - model.novelty.ln_rate(level, of, gap).1 - (f64::from(count) / f64::from(of)).ln();
            // What the person has used before, however seldom, is not held against them.
            let ratio = ratio.min(0.0);
            (ratio, if established { Speaks::Yes } else { Speaks::NotYet })
        }
    };
    let country = ip.country.map(Path::country);
    let kind = device.device_type.map(|kind| Path::device_type(kind.as_label()));
    // A value under an unknown one hangs on the root, as its hash does.
    let (net, root) = (country.unwrap_or(Priors::net()), kind.unwrap_or(Priors::device()));
    let os = device.os.as_ref().map(|os| root.child(os.as_bytes()));
    let system = os.unwrap_or(root);
    let share = |level, parent: Option<Path>, path: Option<Path>| move || path.map_or(0.0, |path| model.priors.ln_share(level, parent, path));
    let asn = ip.asn.map(|asn| net.asn(asn));
    let browser = device.browser.as_ref().map(|browser| system.child(browser.as_bytes()));
    level(|t| &mut t.country, term(Level::Country, ip.country_familiarity, &share(Level::Country, Some(Priors::net()), country)));
    level(|t| &mut t.asn, term(Level::Asn, ip.asn_familiarity, &share(Level::Asn, country, asn)));
    level(|t| &mut t.network, term(Level::Network, ip.network_familiarity, &|| w.share_network.ln()));
    level(|t| &mut t.ip, term(Level::Ip, ip.ip_familiarity, &|| w.share_ip.ln()));
    level(|t| &mut t.device_type, term(Level::DeviceType, device.device_type_familiarity, &share(Level::DeviceType, Some(Priors::device()), kind)));
    level(|t| &mut t.os, term(Level::Os, device.os_familiarity, &share(Level::Os, kind, os)));
    level(|t| &mut t.browser, term(Level::Browser, device.browser_familiarity, &share(Level::Browser, os, browser)));
    level(|t| &mut t.user_agent, term(Level::UserAgent, device.user_agent_familiarity, &|| w.share_user_agent.ln()));
    let (ratio, speaks) = term(Level::Device, device.device_familiarity, &|| w.share_device.ln());
    level(|t| &mut t.device, (ratio.max(w.established_device), speaks));
    let hour = time.hour.map_or(0.0, |hour| model.hours.ratio(&own_hours, hour));
    level(|t| &mut t.hour, (hour, if person == Acquaintance::Known { Speaks::Yes } else { Speaks::NotYet }));
    told
}

/// Whether a familiar value may speak for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// It was seen on two days; or it is new, and speaks against them.
    Yes,
    /// It was seen on one day only.
    NotYet,
}
