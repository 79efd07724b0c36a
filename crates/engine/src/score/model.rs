//! The model: hierarchical log-likelihood ratios with measured novelty, mixed over types of attackers.
//!
//! Freeman et al. (NDSS 2016) compare how likely a value is for any user with how likely it is for this user. This model differs in
//! three ways. Values form hierarchies, and only the first new value of a hierarchy counts. The weight of a new value is measured: it
//! is how rarely legitimate sign-ins have one. The attacker is a mixture of types. S is the sum in natural logarithms, and `slope` x S
//! is its contribution to the log-odds.

use crate::{context::Contradiction, settings::ModelConfig};
use smol_str::{SmolStr, format_smolstr};

use crate::score::{
    Score,
    annotations::annotate,
    combination::{CombinedTerms, combine},
    familiarity_terms::familiarity_terms,
    hours::Hours,
    mixture::{Mixture, TermSets},
    network_reputation::{NetworkReport, network_kind_report, service_reports, strongest_report},
    novelty::Novelty,
    priors::Priors,
    quantiles::{Cohort, Quantiles},
    reason::ReasonCode,
    reason_accumulator::ReasonAccumulator,
    table::TableError,
    weights::Weights,
};
use crate::signals::{
    EffectiveTrust, HistoryDepth, Signals, device::UserAgentKind, familiarity::Familiarity, time::ZoneMatch, travel::TravelSignals, velocity::VelocitySignals,
};

/// The parsed tables of the model, and its settings.
#[derive(Debug)]
pub struct Model {
    pub(super) weights: Weights,
    pub(super) novelty: Novelty,
    pub(super) hours: Hours,
    pub(super) priors: Priors,
    pub(super) quantiles: Quantiles,
    mixture: Mixture,
    /// Log-odds before any evidence.
    base: f64,
    /// The lowest score that is challenged or denied. What third parties do may not reach it on its own.
    stop_threshold: f64,
    date: SmolStr,
}

/// The texts of the model's tables.
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
    /// `model.txt`: the date of the tables, which responses report.
    pub date: String,
}

/// Why a model could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file exists but cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(&'static str, std::io::Error),
    /// A table is malformed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The directory holds none of the tables.
    #[error("the directory holds none of weights.csv, novelty.csv, hours.csv, priors.csv, quantiles.csv")]
    Nothing,
}

impl Tables {
    /// The compiled-in tables.
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

    /// Reads the tables that `replay --learn` wrote. `file` reads one file of the directory by name. Bundled tables replace missing
    /// files.
    ///
    /// # Errors
    ///
    /// A file exists but cannot be read, or there are no files.
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
    /// The name and text of each file.
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

impl Model {
    /// The bundled tables with a configured prior and mixture.
    pub fn bundled(config: ModelConfig) -> Self {
        Model::new(&Tables::bundled(), config).expect("a test reads the bundled tables")
    }

    /// A model from given tables.
    ///
    /// # Errors
    ///
    /// A table is malformed.
    pub fn new(tables: &Tables, config: ModelConfig) -> Result<Self, TableError> {
        let weights = Weights::parse(&tables.weights)?;
        Ok(Model {
            novelty: Novelty::parse(&tables.novelty)?,
            hours: Hours::parse(&tables.hours, &weights)?,
            priors: Priors::parse(&tables.priors, &weights)?,
            quantiles: Quantiles::parse(&tables.quantiles)?,
            mixture: Mixture::new(config.mixture, &weights),
            base: (config.prior / (1.0 - config.prior)).ln() + weights.offset,
            stop_threshold: 65.0,
            date: tables.date.trim().chars().filter(|c| !c.is_control()).take(32).collect::<String>().into(),
            weights,
        })
    }

    /// The same model with the lowest score that is challenged or denied. What third parties can do to an account (failed attempts, a
    /// concurrent sign-in from far away) stays below it on its own; otherwise an attacker could lock users out.
    #[must_use]
    pub fn with_stop_threshold(self, score: f64) -> Self {
        Model { stop_threshold: score, ..self }
    }

    /// The lowest score that is challenged or denied.
    pub fn stop_threshold(&self) -> f64 {
        self.stop_threshold
    }

    /// The date of the tables, at most 32 characters.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Log-odds before any evidence.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The constants of the model.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The quantile tables.
    pub fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }

    /// The result when scoring panicked: the highest score, with the reason `degraded`.
    pub fn unavailable_score(&self, signals: Signals) -> Score {
        let reason = crate::score::reason::Reason { code: ReasonCode::Degraded, weight: 0.0, detail: None };
        Score::on_shipped_scale(signals, [100.0; 2], [self.base; 2], smallvec::smallvec![reason], None)
    }

    /// Scores the signals.
    pub fn score(&self, signals: Signals) -> Score {
        let Signals { evidence, trust, history_depth, ip, device, time, travel, velocity, lists: _ } = &signals;
        let w = &self.weights;
        let cohort = match (trust, history_depth) {
            (EffectiveTrust::NoContext, _) => Cohort::NoContext,
            (_, HistoryDepth::None) => Cohort::New,
            (_, HistoryDepth::OneDay | HistoryDepth::Established) => Cohort::Known,
        };
        let floor = if *trust == EffectiveTrust::Trusted { f64::NEG_INFINITY } else { 0.0 };
        let mut accumulator = ReasonAccumulator::default();
        let mut add = |code: ReasonCode, s: f64, detail: &dyn Fn() -> Option<SmolStr>| accumulator.add(code, w.slope * s, detail);

        // Terms that do not depend on the context.
        let ceiling = self.third_party_ceiling(cohort);
        let failures = excess(velocity.account_failures, w.usual_account_failures, w.velocity_high).min(ceiling);
        let dormant = time.gap.map(|gap| gap.as_secs() / 86_400).filter(|days| *days as f64 >= w.dormant_days);
        let without_context = failures + dormant.map_or(0.0, |_| w.dormant_account);
        add(ReasonCode::AccountFailures, failures, &|| Some(format_smolstr!("{} in 15 min", velocity.account_failures)));
        if let Some(days) = dormant {
            add(ReasonCode::DormantAccount, w.dormant_account, &|| Some(format_smolstr!("{days} days")));
        }

        // Familiarity terms, mixed over types of attackers. Users without history have none.
        let mut terms = familiarity_terms(self, ip, device, time, evidence.history.profile.hours, *history_depth, floor);
        let rarity = ip.country.and_then(|country| self.priors.ln_rarity(country, ip.asn)).map(|ln| ln.clamp(w.rarity_low, w.rarity_high).max(floor));
        let is_new_provider = ip.country_familiarity.is_new() || ip.asn_familiarity.is_new();
        let rare = rarity.filter(|_| is_new_provider).unwrap_or(0.0);
        (terms.strict.rarity, terms.full.rarity, terms.favourable.rarity) = (rare, rare, rare.min(0.0));
        let concurrent = travel.concurrent.map_or(0.0, |journey| self.travel_weight(journey.kmh()).min(ceiling - failures));
        let own_journey = travel.since_success.map_or(0.0, |journey| self.travel_weight(journey.kmh()));
        let journey = own_journey.max(concurrent);
        let mut reports = service_reports(self, evidence, cohort, floor);
        reports.extend(network_kind_report(w, ip));
        if *history_depth == HistoryDepth::None {
            terms = TermSets::default();
            reports.extend(rarity.map(|s| NetworkReport { code: ReasonCode::RareNetwork, s, detail: None }));
            let hour = time.hour.map(|hour| self.hours.ratio(&[0; 24], hour)).filter(|s| *s > 0.0);
            reports.extend(hour.map(|s| NetworkReport { code: ReasonCode::UnusualHour, s, detail: time.hour.map(|hour| format_smolstr!("at {hour} h")) }));
        }
        let report = strongest_report(reports);
        // What third parties add to S.
        let mut added = failures;
        let own_sum = (concurrent > own_journey).then(|| combine(&self.mixture, terms, own_journey, report.clone()).sum);
        let CombinedTerms { mixed, is_travel, report, sum: combined } = combine(&self.mixture, terms, journey, report);
        added += own_sum.map_or(0.0, |own_sum| combined - own_sum);
        let part = mixed.terms;

        if is_travel {
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
        // Familiar device values share one reason. Each new value has its own.
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
        // Network reports: only the strongest counts, because reports of the same network are not independent.
        add(ReasonCode::RareNetwork, part.rarity, &|| None);
        if let Some(report) = report {
            add(report.code, report.s, &|| report.detail.clone());
        }

        if let Some(wave) = &evidence.history.attack_wave {
            let s = wave.ln_ratio.clamp(0.0, w.attack_wave).min((ceiling - failures - concurrent).max(0.0));
            add(ReasonCode::AttackWave, s, &|| Some(wave.cells.clone()));
            added += s;
        }
        let (code, accounts, s) = self.ip_velocity(*velocity);
        add(code, s, &|| Some(format_smolstr!("{accounts} accounts in 1 h")));
        let is_automation = matches!(device.user_agent_kind, UserAgentKind::Automation | UserAgentKind::Impossible) && !device.user_agent_familiarity.is_seen();
        add(ReasonCode::Automation, if is_automation { w.automation } else { 0.0 }, &|| None);
        let is_agent_missing = *trust != EffectiveTrust::NoContext && device.user_agent_kind == UserAgentKind::Missing && device.device_type.is_none();
        add(ReasonCode::MissingUserAgent, if is_agent_missing { w.missing_user_agent } else { 0.0 }, &|| None);
        add(ReasonCode::TimezoneMismatch, if time.zone == ZoneMatch::Mismatch { w.timezone_mismatch } else { 0.0 }, &|| None);
        let replayed = evidence.history.nonce == crate::evidence::history::NonceStatus::Replayed;
        add(ReasonCode::ReplayedContext, if replayed { w.replayed_context } else { 0.0 }, &|| None);

        let session = evidence.sign_in.context.session;
        // A claimed country weighs as a copied context, a claimed network as a tunnel.
        let contradicted = session.contradiction.map_or(0.0, |found| if found == Contradiction::Country { w.replayed_context } else { w.timezone_mismatch });
        add(ReasonCode::ContextContradicted, contradicted, &|| None);
        add(ReasonCode::SessionMoved, session.moved_kmh.map_or(0.0, |kmh| self.travel_weight(kmh)), &|| None);

        let review_floor = self.review_floor(&signals);
        annotate(&mut accumulator, w, &signals, review_floor);
        let (sum, reasons) = accumulator.finish();
        let s = sum / w.slope;
        // Untrusted claims never lower the score, so it is at least the score without a context.
        let least = |s| if *trust == EffectiveTrust::Untrusted { self.quantiles.score(Cohort::NoContext, s) } else { 0.0 };
        let value = self.quantiles.score(cohort, s).max(least(without_context));
        let own = if added > 0.0 { self.quantiles.score(cohort, s - added).max(least(without_context - failures)) } else { value };
        Score::on_shipped_scale(signals, [value, own].map(round_to_tenth), [self.base + sum, self.base], reasons, review_floor)
    }

    /// Why a sign-in is at least reviewed: Tor in an AS that the user has not used, or impossible travel to a country new to the user.
    /// A known device does not offset them, because its id can be stolen with the password.
    fn review_floor(&self, Signals { ip, travel, .. }: &Signals) -> Option<ReasonCode> {
        let is_far = travel.since_success.is_some_and(|journey| ip.country_familiarity.is_new() && journey.kmh() > self.weights.travel_speed);
        let is_tor = ip.kind.tor && !ip.asn_familiarity.is_seen();
        is_tor.then_some(ReasonCode::Tor).or(is_far.then_some(ReasonCode::ImpossibleTravel))
    }

    /// The maximum S that third parties can add. On its own it stays one point below the lowest challenge or denial.
    fn third_party_ceiling(&self, cohort: Cohort) -> f64 {
        let s = |cohort| self.quantiles.s(cohort, self.stop_threshold - 1.0);
        s(cohort).min(s(Cohort::NoContext)).max(0.0)
    }

    /// The weight of a speed: 0 up to `travel_speed` (an airliner, gate to gate), then linear up to `travel_high`.
    fn travel_weight(&self, kmh: f64) -> f64 {
        let w = &self.weights;
        (w.travel_gain * (kmh - w.travel_speed) / w.travel_speed).clamp(0.0, w.travel_high)
    }

    /// The reason, count and weight of accounts from the address or from its network, whichever is more unusual.
    fn ip_velocity(&self, velocity: VelocitySignals) -> (ReasonCode, u32, f64) {
        let w = &self.weights;
        let ip = excess(velocity.accounts_per_ip, w.usual_accounts_per_ip, w.velocity_high);
        let network = excess(velocity.accounts_per_network, w.usual_accounts_per_network, w.velocity_high);
        let accounts = if ip >= network { velocity.accounts_per_ip } else { velocity.accounts_per_network };
        (ReasonCode::IpVelocity, accounts, ip.max(network))
    }
}

pub(super) fn round_to_tenth(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

/// ln((count + 1) / (usual + 1)), from 0 to `high`.
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
