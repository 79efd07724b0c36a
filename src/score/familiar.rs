//! The terms of the hierarchical model: how each value of a sign-in compares with the person's history.

use super::{
    Model,
    mixture::Terms,
    novelty::gap_bucket,
    priors::{Path, Priors},
};
use crate::{
    evidence::features::Level,
    signals::{Acquaintance, DeviceSignals, Familiarity, IpSignals, TimeSignals},
};

/// The terms of a sign-in, each clipped; rarity is left at 0.
pub(super) fn terms_of(
    model: &Model,
    ip: &IpSignals,
    device: &DeviceSignals,
    time: &TimeSignals,
    own_hours: [u8; 24],
    person: Acquaintance,
    floor: f64,
) -> Terms {
    let w = &model.weights;
    let gap = gap_bucket(time.gap.unwrap_or_default());
    let term = |level: Level, familiarity: Familiarity, ln_share: &dyn Fn() -> f64| -> f64 {
        let ratio = match familiarity {
            Familiarity::Unknown | Familiarity::Beneath => return 0.0,
            Familiarity::New { of } => -model.novelty.ln_rate(level, of, gap).0,
            Familiarity::Seen { count, of, established } => {
                let ratio = ln_share() - model.novelty.ln_rate(level, of, gap).1 - (f64::from(count) / f64::from(of)).ln();
                // Credit only for what was seen on two days: one stolen evening earns none.
                if established { ratio } else { ratio.max(0.0) }
            }
        };
        ratio.clamp(-w.clip, w.clip).max(floor)
    };
    let country = ip.country.map(Path::country);
    let kind = device.device_type.map(|kind| Path::device_type(kind.as_label()));
    // A value under an unknown one hangs on the root, as its hash does.
    let (net, root) = (country.unwrap_or(Priors::net()), kind.unwrap_or(Priors::device()));
    let os = device.os.as_ref().map(|os| root.child(os.as_bytes()));
    let system = os.unwrap_or(root);
    let share = |level, parent: Path, path: Option<Path>| move || path.map_or(0.0, |path| model.priors.ln_share(level, parent, path));
    let hour = time.hour.map_or(0.0, |hour| model.hours.ratio(&own_hours, hour));
    Terms {
        country: term(Level::Country, ip.country_familiarity, &share(Level::Country, Priors::net(), country)),
        asn: term(Level::Asn, ip.asn_familiarity, &share(Level::Asn, net, ip.asn.map(|asn| net.asn(asn)))),
        network: term(Level::Network, ip.network_familiarity, &|| w.share_network.ln()),
        ip: term(Level::Ip, ip.ip_familiarity, &|| w.share_ip.ln()),
        device_type: term(Level::DeviceType, device.device_type_familiarity, &share(Level::DeviceType, Priors::device(), kind)),
        os: term(Level::Os, device.os_familiarity, &share(Level::Os, root, os)),
        browser: term(
            Level::Browser,
            device.browser_familiarity,
            &share(Level::Browser, system, device.browser.as_ref().map(|browser| system.child(browser.as_bytes()))),
        ),
        user_agent: term(Level::UserAgent, device.user_agent_familiarity, &|| w.share_user_agent.ln()),
        device: term(Level::Device, device.device_familiarity, &|| w.share_device.ln()).max(w.established_device),
        hour: match person {
            Acquaintance::Known => hour.max(floor),
            Acquaintance::Stranger | Acquaintance::Met => hour.max(0.0),
        },
        rarity: 0.0,
    }
}
