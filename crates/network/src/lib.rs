//! Location and network kind of an address, from the custom databases of the operator first and the bundled database second.
//!
//! A look-up takes less than a microsecond and does not allocate. The bundled database is part of the
//! program's read-only data. It is neither copied nor scanned at start, so only the pages that are
//! used become resident.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{bundled::Bundled, custom_db::CustomDatabases};
use riskgate_config::{env::ConfigError, networks::NetworksConfig};
use riskgate_engine::context::Context;
use riskgate_engine::network_facts::NetworkFacts;
use riskgate_engine::network_source::Source;
use riskgate_runtime::health::{BundledPart, Health};

pub mod bundled;

pub mod country;

pub mod coverage;

pub mod custom_db;

pub mod local_time;

pub mod record;

/// Shortest interval between two checks of the custom files for changes.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// The accuracy radius of coordinates, in kilometres, when the database does not state one.
const CITY_RADIUS_KM: f64 = 50.0;

/// The network databases in use.
#[derive(Debug)]
pub struct Networks {
    bundled: Bundled,
    custom: Arc<CustomDatabases>,
    health: Arc<Health>,
    opened: Instant,
    /// When the files were last checked, in milliseconds after `opened`.
    last_check: AtomicU64,
    is_reloading: Arc<AtomicBool>,
}

impl Networks {
    /// Opens the bundled database and reads the custom files into memory.
    ///
    /// A missing, damaged or wrong file is returned as an error. The bundled database is used in its
    /// place, and the file is loaded as soon as it is fixed.
    pub fn open(config: &NetworksConfig, health: &Arc<Health>) -> (Self, Vec<ConfigError>) {
        let (custom, faults) = CustomDatabases::open(config, health);
        let bundled = Bundled::open();
        let newest = BundledPart::ALL.into_iter().map(|part| bundled.date(part)).max().unwrap_or_default();
        health.networks_built[Source::Bundled as usize].store(newest, Ordering::Relaxed);
        for part in BundledPart::ALL {
            health.bundled_data[part as usize].store(bundled.date(part), Ordering::Relaxed);
        }
        let networks = Networks {
            bundled,
            custom: Arc::new(custom),
            health: Arc::clone(health),
            opened: Instant::now(),
            last_check: AtomicU64::new(0),
            is_reloading: Arc::default(),
        };
        (networks, faults)
    }

    /// The facts about the address of a sign-in. What a trusted caller asserts takes precedence over the databases.
    pub fn facts(&self, context: &Context) -> NetworkFacts {
        let mut facts = context.ip.public().map(|ip| self.look_up(ip)).unwrap_or_default();
        let asserted = &context.asserted;
        if asserted.country.is_some() && asserted.country != facts.country {
            // Coordinates in another country are discarded.
            (facts.country, facts.location) = (asserted.country, None);
        }
        if asserted.tor {
            (facts.kind.tor, facts.kind.anonymous) = (true, true);
        }
        facts.asn = asserted.asn.or(facts.asn);
        facts.location = facts.location.or_else(|| country::of(facts.country?).map(|country_data| country_data.location()));
        facts
    }

    /// Reloads changed custom files in the background when a check is due. Does not wait for it.
    ///
    /// It is called for each sign-in instead of from a timer, because Lambda freezes the process between
    /// two sign-ins. A freeze during a reload is harmless: a file is used only after it is read completely.
    pub fn reload_if_due(&self, now: Instant) {
        if self.custom.is_empty() {
            return;
        }
        let at = u64::try_from(now.saturating_duration_since(self.opened).as_millis()).unwrap_or(u64::MAX);
        let last = self.last_check.load(Ordering::Relaxed);
        let is_due = u128::from(at.saturating_sub(last)) >= RELOAD_INTERVAL.as_millis();
        if !is_due || self.last_check.compare_exchange(last, at, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // Only one reload runs at a time, so a hanging file system blocks a single thread.
        let Some(guard) = ReloadGuard::acquire(&self.is_reloading) else { return };
        let (custom, health) = (Arc::clone(&self.custom), Arc::clone(&self.health));
        tokio::task::spawn_blocking(move || {
            custom.reload_changed(&health);
            drop(guard);
        });
    }

    /// Reloads the custom files that changed. Blocks while it reads.
    pub fn reload_changed(&self) {
        self.custom.reload_changed(&self.health);
    }

    /// The facts about a public address. Each custom file takes precedence for its part.
    fn look_up(&self, ip: IpAddr) -> NetworkFacts {
        let mut facts = self.bundled.look_up(ip);
        if let Some(city) = self.custom.look_up(Source::City, ip, &self.health) {
            facts.location = city.location();
            // Coordinates without a country do not confirm the bundled country.
            if city.country.is_some() || facts.location.is_some() {
                facts.country = city.country;
            }
        }
        if let Some(asn) = self.custom.look_up(Source::Asn, ip, &self.health).and_then(|record| record.asn) {
            facts.asn = Some(asn);
        }
        if let Some(coverage) = self.custom.coverage(Source::Anonymous, ip) {
            // An address that is not in this file has none of the kinds that the file covers.
            let custom = self.custom.look_up(Source::Anonymous, ip, &self.health).map(|record| record.kind).unwrap_or_default();
            facts.kind = coverage.merge(facts.kind, custom);
        }
        facts
    }
}

/// Permission to reload the files. It is released on drop, also during a panic.
struct ReloadGuard(Arc<AtomicBool>);

impl ReloadGuard {
    fn acquire(is_reloading: &Arc<AtomicBool>) -> Option<Self> {
        (!is_reloading.swap(true, Ordering::AcqRel)).then(|| ReloadGuard(Arc::clone(is_reloading)))
    }
}

impl Drop for ReloadGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
