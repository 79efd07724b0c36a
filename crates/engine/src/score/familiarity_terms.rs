//! Familiarity terms: the log-likelihood ratio of each value of a sign-in, given the user's history.

use crate::score::{
    mixture::{TermSets, Terms},
    model::Model,
    novelty::gap_bucket,
    priors::{PriorPath, Priors},
};
use crate::{
    features::FeatureLevel,
    signals::{HistoryDepth, device::DeviceSignals, familiarity::Familiarity, ip::IpSignals, time::TimeSignals},
};

/// The terms of a sign-in, each clipped. The rarity term stays 0. `floor` is 0 if the context may not lower the score, else negative
/// infinity.
pub(super) fn familiarity_terms(
    model: &Model,
    ip: &IpSignals,
    device: &DeviceSignals,
    time: &TimeSignals,
    own_hours: [u8; 24],
    history_depth: HistoryDepth,
    floor: f64,
) -> TermSets {
    let w = &model.weights;
    let gap = gap_bucket(time.gap.unwrap_or_default());
    let mut sets = TermSets::default();
    let mut set = |term: fn(&mut Terms) -> &mut f64, (ratio, may_lower): (f64, MayLower)| {
        let full = ratio.clamp(-w.clip, w.clip).max(floor);
        let strict = match may_lower {
            MayLower::Yes => full,
            MayLower::No => full.max(0.0),
        };
        *term(&mut sets.full) = full;
        *term(&mut sets.strict) = strict;
        *term(&mut sets.favourable) = strict.min(0.0);
    };
    let ratio = |level: FeatureLevel, familiarity: Familiarity, ln_share: &dyn Fn() -> f64| match familiarity {
        Familiarity::Unknown | Familiarity::ParentIsNew | Familiarity::Updated => (0.0, MayLower::Yes),
        Familiarity::New { of } => (-model.novelty.ln_rate(level, of, gap).0, MayLower::Yes),
        Familiarity::Seen { count, of, established } => {
            let ratio = ln_share() - model.novelty.ln_rate(level, of, gap).1 - (f64::from(count) / f64::from(of)).ln();
            // A value that the user has used before never counts against the user, even if it is rare.
            let ratio = ratio.min(0.0);
            (ratio, if established { MayLower::Yes } else { MayLower::No })
        }
    };
    let country = ip.country.map(PriorPath::country);
    let kind = device.device_type.map(|kind| PriorPath::device_type(kind.as_label()));
    // If a level is unknown, the next one is a child of the root, as in feature hashes.
    let (net, root) = (country.unwrap_or(Priors::network_root()), kind.unwrap_or(Priors::device_root()));
    let os = device.os.as_ref().map(|os| root.child(os.as_bytes()));
    let system = os.unwrap_or(root);
    let share = |level, parent: Option<PriorPath>, path: Option<PriorPath>| move || path.map_or(0.0, |path| model.priors.ln_share(level, parent, path));
    let asn = ip.asn.map(|asn| net.asn(asn));
    let browser = device.browser.as_ref().map(|browser| system.child(browser.as_bytes()));
    set(|t| &mut t.country, ratio(FeatureLevel::Country, ip.country_familiarity, &share(FeatureLevel::Country, Some(Priors::network_root()), country)));
    set(|t| &mut t.asn, ratio(FeatureLevel::Asn, ip.asn_familiarity, &share(FeatureLevel::Asn, country, asn)));
    set(|t| &mut t.network, ratio(FeatureLevel::Network, ip.network_familiarity, &|| w.share_network.ln()));
    set(|t| &mut t.ip, ratio(FeatureLevel::Ip, ip.ip_familiarity, &|| w.share_ip.ln()));
    set(
        |t| &mut t.device_type,
        ratio(FeatureLevel::DeviceType, device.device_type_familiarity, &share(FeatureLevel::DeviceType, Some(Priors::device_root()), kind)),
    );
    set(|t| &mut t.os, ratio(FeatureLevel::Os, device.os_familiarity, &share(FeatureLevel::Os, kind, os)));
    set(|t| &mut t.browser, ratio(FeatureLevel::Browser, device.browser_familiarity, &share(FeatureLevel::Browser, os, browser)));
    set(|t| &mut t.user_agent, ratio(FeatureLevel::UserAgent, device.user_agent_familiarity, &|| w.share_user_agent.ln()));
    let (ratio, may_lower) = ratio(FeatureLevel::Device, device.device_familiarity, &|| w.share_device.ln());
    set(|t| &mut t.device, (ratio.max(w.established_device), may_lower));
    let hour = time.hour.map_or(0.0, |hour| model.hours.ratio(&own_hours, hour));
    set(|t| &mut t.hour, (hour, if history_depth == HistoryDepth::Established { MayLower::Yes } else { MayLower::No }));
    sets
}

/// Whether a term may count in the user's favour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MayLower {
    /// The value was seen on two days, or its term is not negative.
    Yes,
    /// The value was seen on one day only.
    No,
}
