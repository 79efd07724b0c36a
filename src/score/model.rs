//! The model: hierarchical log-likelihood ratios with measured novelty, mixed over attackers.
//!
//! Freeman et al. (NDSS 2016) compare how likely a value is for anybody with how likely it is for the
//! person. Here values hang in chains, so that only the first new one counts; how much a new value
//! counts is how rarely honest people bring one; and the attacker is a mixture. S is the sum in natural
//! logarithms, `slope` x S its calibrated part of the log-odds.

use smol_str::{SmolStr, format_smolstr};

use super::{
    ReasonCode, Score,
    combination::{Combined, combine},
    familiar::terms_of,
    hours::Hours,
    mixture::{Mixture, Told},
    novelty::Novelty,
    outside::{Candidate, candidates, listed_network, strongest},
    priors::Priors,
    quantiles::{Peers, Quantiles},
    remarks::remark,
    table::TableError,
    tally::Tally,
    weights::Weights,
};
use crate::{
    config::history::HistoryConfig,
    signals::{Acquaintance, Claims, Familiarity, Signals, TravelSignals, VelocitySignals, device::Agent, time::Zone},
};

/// The tables of the model, read at start.
#[derive(Debug)]
pub struct Model {
    pub(super) weights: Weights,
    pub(super) novelty: Novelty,
    pub(super) hours: Hours,
    pub(super) priors: Priors,
    pub(super) quantiles: Quantiles,
    mixture: Mixture,
    /// Log-odds before anything is known.
    base: f64,
    /// No stranger's doing may by itself reach this score.
    denied_from: f64,
    date: SmolStr,
}

/// The text of the model's tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// `weights.csv`
    pub weights: String,
    /// `novelty.csv`
    pub novelty: String,
    /// `hours.csv`
    pub hours: String,
    /// `priors.csv`
    pub priors: String,
    /// `quantiles.csv`
    pub quantiles: String,
    /// `model.txt`: the date that answers carry.
    pub date: String,
}

/// A model that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file is there but cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(&'static str, std::io::Error),
    /// A table does not hold what it should.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The directory holds none of the tables.
    #[error("the directory holds none of weights.csv, novelty.csv, hours.csv, priors.csv, quantiles.csv")]
    Nothing,
}

// === impl Tables ===

impl Tables {
    /// The tables that are compiled in.
    pub fn bundled() -> Self {
        Tables {
            weights: include_str!("../../data/weights.csv").to_owned(),
            novelty: include_str!("../../data/novelty.csv").to_owned(),
            hours: include_str!("../../data/hours.csv").to_owned(),
            priors: include_str!("../../data/priors.csv").to_owned(),
            quantiles: include_str!("../../data/quantiles.csv").to_owned(),
            date: include_str!("../../data/model.txt").to_owned(),
        }
    }

    /// The tables of a directory that `replay --learn` wrote, by a function that reads a file of it; the bundled ones
    /// stand in for those that are missing.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read, or a directory without any.
    pub fn read(file: impl Fn(&str) -> std::io::Result<String>) -> Result<Self, ModelError> {
        let mut tables = Tables::bundled();
        let mut found = false;
        for (name, slot) in [
            ("weights.csv", &mut tables.weights),
            ("novelty.csv", &mut tables.novelty),
            ("hours.csv", &mut tables.hours),
            ("priors.csv", &mut tables.priors),
            ("quantiles.csv", &mut tables.quantiles),
            ("model.txt", &mut tables.date),
        ] {
            match file(name) {
                Ok(text) => {
                    *slot = text;
                    found = true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ModelError::File(name, error)),
            }
        }
        if found { Ok(tables) } else { Err(ModelError::Nothing) }
    }
}

impl Tables {
    /// Each file's name and text.
    pub fn files(&self) -> [(&'static str, &str); 6] {
        [
            ("weights.csv", &self.weights),
            ("novelty.csv", &self.novelty),
            ("hours.csv", &self.hours),
            ("priors.csv", &self.priors),
            ("quantiles.csv", &self.quantiles),
            ("model.txt", &self.date),
        ]
    }
}

// === impl Model ===

impl Model {
    /// The bundled tables under the configured prior and mixture.
    pub fn bundled(config: &HistoryConfig) -> Self {
        Model::new(&Tables::bundled(), config).expect("the bundled tables are read by a test")
    }

    /// A model of given tables.
    ///
    /// # Errors
    ///
    /// Tables that do not hold what they should.
    pub fn new(tables: &Tables, config: &HistoryConfig) -> Result<Self, TableError> {
        let weights = Weights::parse(&tables.weights)?;
        Ok(Model {
            novelty: Novelty::parse(&tables.novelty)?,
            hours: Hours::parse(&tables.hours, &weights)?,
            priors: Priors::parse(&tables.priors, &weights)?,
            quantiles: Quantiles::parse(&tables.quantiles)?,
            mixture: Mixture::new(config.mixture, &weights),
            base: (config.prior / (1.0 - config.prior)).ln() + weights.offset,
            denied_from: 65.0,
            date: tables.date.trim().chars().filter(|c| !c.is_control()).take(32).collect::<String>().into(),
            weights,
        })
    }

    /// The same model for a gate that denies from a score: what a stranger can do to somebody else's account (failed
    /// attempts, a sign-in from afar at the same time) stays under it by itself (invariant 5).
    #[must_use]
    pub fn denying_from(self, score: f64) -> Self {
        Model { denied_from: score, ..self }
    }

    /// The date of the tables, as answers name it.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Log-odds before anything is known.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The constants in force.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The quantile tables in force.
    pub fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }

    /// No score at all, when weighing panicked: the highest value stands in, with one reason.
    pub fn unscored(&self, signals: Signals) -> Score {
        let reason = super::Reason { code: ReasonCode::Degraded, weight: 0.0, detail: None };
        Score { signals, value: 100.0, log_odds: self.base, base: self.base, reasons: smallvec::smallvec![reason] }
    }

    /// Weighs the signals.
    pub fn score(&self, signals: Signals) -> Score {
        let Signals { evidence, claims, person, ip, device, time, travel, velocity, lists: _ } = &signals;
        let w = &self.weights;
        let peers = match (claims, person) {
            (Claims::Missing, _) => Peers::NoContext,
            (_, Acquaintance::Stranger) => Peers::New,
            (_, Acquaintance::Met | Acquaintance::Known) => Peers::Known,
        };
        let floor = if *claims == Claims::Believed { f64::NEG_INFINITY } else { 0.0 };
        let mut tally = Tally::new();
        let mut add = |code: ReasonCode, s: f64, detail: &dyn Fn() -> Option<SmolStr>| tally.add(code, w.slope * s, detail);

        // What no claim of the client's has a part in.
        let ceiling = self.strangers_ceiling(peers);
        let failures = excess(velocity.account_failures, w.usual_account_failures, w.velocity_high).min(ceiling);
        let dormant = time.gap.map(|gap| gap.as_secs() / 86_400).filter(|days| *days as f64 >= w.dormant_days);
        let unclaimed = failures + dormant.map_or(0.0, |_| w.dormant_account);
        add(ReasonCode::AccountFailures, failures, &|| Some(format_smolstr!("{} in 15 min", velocity.account_failures)));
        if let Some(days) = dormant {
            add(ReasonCode::DormantAccount, w.dormant_account, &|| Some(format_smolstr!("{days} days")));
        }

        // How familiar it all is, mixed over attackers; strangers have no such terms.
        let mut told = terms_of(self, ip, device, time, evidence.history.profile.hours, *person, floor);
        let rarity = ip.country.and_then(|country| self.priors.ln_rarity(country, ip.asn)).map(|ln| ln.clamp(w.rarity_low, w.rarity_high).max(floor));
        let surprising = ip.country_familiarity.is_new() || ip.asn_familiarity.is_new();
        let rare = rarity.filter(|_| surprising).unwrap_or(0.0);
        (told.strict.rarity, told.full.rarity, told.calm.rarity) = (rare, rare, rare.min(0.0));
        let strangers = travel.concurrent.map_or(0.0, |journey| self.travel(journey.kmh()).min(ceiling - failures));
        let journey = travel.since_success.map_or(0.0, |journey| self.travel(journey.kmh())).max(strangers);
        let mut reports = candidates(self, evidence, peers, floor);
        reports.extend(listed_network(w, ip));
        if *person == Acquaintance::Stranger {
            told = Told::default();
            reports.extend(rarity.map(|s| Candidate { code: ReasonCode::RareNetwork, s, detail: None }));
            let hour = time.hour.map(|hour| self.hours.ratio(&[0; 24], hour)).filter(|s| *s > 0.0);
            reports.extend(hour.map(|s| Candidate { code: ReasonCode::UnusualHour, s, detail: time.hour.map(|hour| format_smolstr!("at {hour} h")) }));
        }
        let Combined { mixed, travelled, report } = combine(&self.mixture, told, journey, strongest(reports));
        let part = mixed.terms;

        if travelled {
            add(ReasonCode::ImpossibleTravel, journey, &|| travel_detail(travel));
        } else {
            add(if ip.country_familiarity.is_seen() { ReasonCode::KnownCountry } else { ReasonCode::NewCountry }, part.country, &|| None);
        }
        let level = |familiarity: Familiarity, known, new| if familiarity.is_seen() { known } else { new };
        let soon = time.gap.is_some_and(|gap| gap.as_hours() < 1);
        let new_ip = if soon { ReasonCode::NewIpSoon } else { ReasonCode::NewIp };
        add(level(ip.asn_familiarity, ReasonCode::KnownAsn, ReasonCode::NewAsn), part.asn, &|| None);
        add(level(ip.network_familiarity, ReasonCode::KnownNetwork, ReasonCode::NewNetwork), part.network, &|| None);
        add(level(ip.ip_familiarity, ReasonCode::KnownIp, new_ip), part.ip, &|| None);
        // What is familiar of the device is one reason; what is new has its own.
        let mut familiar = 0.0;
        for (familiarity, s, new) in [
            (device.device_type_familiarity, part.device_type, ReasonCode::NewDeviceType),
            (device.os_familiarity, part.os, ReasonCode::NewOs),
            (device.browser_familiarity, part.browser, ReasonCode::NewBrowser),
            (device.user_agent_familiarity, part.user_agent, ReasonCode::NewUserAgent),
            (device.device_familiarity, part.device, ReasonCode::NewDevice),
        ] {
            if familiarity.is_seen() {
                familiar += s;
            } else {
                add(new, s, &|| None);
            }
        }
        add(ReasonCode::KnownDevice, familiar, &|| None);
        let hour_code = if part.hour < 0.0 { ReasonCode::UsualHour } else { ReasonCode::UnusualHour };
        add(hour_code, part.hour, &|| time.hour.map(|hour| format_smolstr!("at {hour} h")));
        // The log of a mean is more than the mean of logs; the rest belongs to no single term.
        let explained = part.country + part.asn + part.network + part.ip + part.device_type + part.os + part.browser + part.user_agent + part.device;
        add(ReasonCode::Other, mixed.s - explained - part.hour - part.rarity, &|| None);

        // What is reported of the network: the strongest report, never the sum.
        add(ReasonCode::RareNetwork, part.rarity, &|| None);
        if let Some(report) = report {
            add(report.code, report.s, &|| report.detail.clone());
        }

        let (code, accounts, s) = self.ip_velocity(*velocity);
        add(code, s, &|| Some(format_smolstr!("{accounts} accounts in 1 h")));
        let odd = matches!(device.agent, Agent::Automation | Agent::Impossible) && !device.user_agent_familiarity.is_seen();
        add(ReasonCode::Automation, if odd { w.automation } else { 0.0 }, &|| None);
        let agentless = *claims != Claims::Missing && device.agent == Agent::Missing && device.device_type.is_none();
        add(ReasonCode::MissingUserAgent, if agentless { w.missing_user_agent } else { 0.0 }, &|| None);
        add(ReasonCode::TimezoneMismatch, if time.zone == Zone::Mismatch { w.timezone_mismatch } else { 0.0 }, &|| None);
        let replayed = evidence.history.nonce == crate::evidence::history::Nonce::Replayed;
        add(ReasonCode::ReplayedContext, if replayed { w.replayed_context } else { 0.0 }, &|| None);

        remark(&mut tally, w, &signals);
        let (sum, reasons) = tally.finish();
        let s = sum / w.slope;
        let mut value = self.quantiles.score(peers, s);
        if *claims == Claims::Suspect {
            // Unsigned claims may not lead to milder company than none (invariant 4).
            value = value.max(self.quantiles.score(Peers::NoContext, unclaimed));
        }
        let (value, base) = ((value * 10.0).round() / 10.0, self.base);
        Score { signals, value, log_odds: base + sum, base, reasons }
    }

    /// The most that strangers' doings may add, so that by themselves they stay under a denial.
    fn strangers_ceiling(&self, peers: Peers) -> f64 {
        let s = |peers| self.quantiles.s(peers, self.denied_from - 1.0);
        s(peers).min(s(Peers::NoContext)).max(0.0)
    }

    /// What a speed weighs: nothing up to that of an airliner between gates, then linear, bounded.
    fn travel(&self, kmh: f64) -> f64 {
        let w = &self.weights;
        (w.travel_gain * (kmh - w.travel_speed) / w.travel_speed).clamp(0.0, w.travel_high)
    }

    /// Accounts from the address or from its network, whichever is more out of the ordinary.
    fn ip_velocity(&self, velocity: VelocitySignals) -> (ReasonCode, u32, f64) {
        let w = &self.weights;
        let ip = excess(velocity.accounts_per_ip, w.usual_accounts_per_ip, w.velocity_high);
        let network = excess(velocity.accounts_per_network, w.usual_accounts_per_network, w.velocity_high);
        let accounts = if ip >= network { velocity.accounts_per_ip } else { velocity.accounts_per_network };
        (ReasonCode::IpVelocity, accounts, ip.max(network))
    }
}

/// ln of how far a count is beyond the usual one, from 0 to a bound.
fn excess(count: u32, usual: f64, high: f64) -> f64 {
    ((f64::from(count) + 1.0) / (usual + 1.0)).ln().clamp(0.0, high)
}

fn travel_detail(travel: &TravelSignals) -> Option<SmolStr> {
    let (journey, what) = match (travel.since_success, travel.concurrent) {
        (Some(own), Some(other)) if other.kmh() > own.kmh() => (other, ", someone else"),
        (Some(own), _) => (own, ""),
        (None, other) => (other?, ", someone else"),
    };
    Some(format_smolstr!("{:.0} km in {:.1} h{what}", journey.km, journey.hours))
}
