//! Where an address is, and what kind of network that is: the bundled database, and the operator's own before it.
//!
//! Looking up takes well under a microsecond and allocates nothing. The bundled database is part of
//! the program's read-only pages: it is neither copied nor walked at start, and what is never asked
//! about never becomes resident.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use self::{bundled::Bundled, own::OwnFiles, source::Source};
use super::{health::Health, network_facts::NetworkFacts};
use crate::{
    config::{env::Fault, networks::NetworksConfig},
    event::context::Context,
};

mod bundled;

mod coverage;

mod own;

mod record;

pub mod source;

pub mod territory;

/// How often the operator's files are looked at, at most.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The radius in kilometres of a city's coordinates when the database states none.
const CITY_RADIUS_KM: f64 = 50.0;

/// The databases in force.
#[derive(Debug)]
pub struct Networks {
    bundled: Bundled,
    own: Arc<OwnFiles>,
    health: Arc<Health>,
    opened: Instant,
    /// Milliseconds after `opened` when the files were last looked at.
    looked: AtomicU64,
    looking: Arc<AtomicBool>,
}

// === impl Networks ===

impl Networks {
    /// Opens the bundled database and reads the operator's files into memory.
    ///
    /// A missing, damaged or unfit file is a fault; the bundled database answers in its place, and
    /// the file is taken up as soon as it is mended.
    pub fn open(config: &NetworksConfig, health: &Arc<Health>) -> (Self, Vec<Fault>) {
        let (own, faults) = OwnFiles::open(config, health);
        let bundled = Bundled::open();
        health.networks_built[Source::Bundled as usize].store(bundled.built(), Ordering::Relaxed);
        let networks =
            Networks { bundled, own: Arc::new(own), health: Arc::clone(health), opened: Instant::now(), looked: AtomicU64::new(0), looking: Arc::default() };
        (networks, faults)
    }

    /// The facts of a sign-in's address; what a trusted caller states of it stands before any database.
    pub fn facts(&self, context: &Context) -> NetworkFacts {
        let mut facts = context.ip.public().map(|ip| self.look_up(ip)).unwrap_or_default();
        let stated = &context.stated;
        if stated.country.is_some() && stated.country != facts.country {
            // Coordinates found in another country are not this one's.
            (facts.country, facts.location) = (stated.country, None);
        }
        if stated.tor {
            (facts.kind.tor, facts.kind.anonymous) = (true, true);
        }
        facts.asn = stated.asn.or(facts.asn);
        facts.location = facts.location.or_else(|| territory::of(facts.country?).map(|territory| territory.location()));
        facts
    }

    /// Looks at the operator's files when that is due, on a blocking thread, without waiting for it.
    ///
    /// Called for each sign-in, so that nothing runs between two of them: in Lambda the process may
    /// be frozen there. What a thread reads is whole before it is seen, so a freeze does no harm.
    pub fn look_if_due(&self, now: Instant) {
        if self.own.is_empty() {
            return;
        }
        let at = u64::try_from(now.saturating_duration_since(self.opened).as_millis()).unwrap_or(u64::MAX);
        let last = self.looked.load(Ordering::Relaxed);
        let due = u128::from(at.saturating_sub(last)) >= LOOK_EVERY.as_millis();
        if !due || self.looked.compare_exchange(last, at, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // A file system that hangs costs one thread, not one every thirty seconds.
        let Some(turn) = Turn::take(&self.looking) else { return };
        let (own, health) = (Arc::clone(&self.own), Arc::clone(&self.health));
        tokio::task::spawn_blocking(move || {
            own.look(&health);
            drop(turn);
        });
    }

    /// Looks at the operator's files and swaps in those that changed. Blocks while it reads.
    pub fn look(&self) {
        self.own.look(&self.health);
    }

    /// What is known of a public address. The operator's files answer first, each for its own part.
    fn look_up(&self, ip: IpAddr) -> NetworkFacts {
        let mut facts = self.bundled.look_up(ip);
        if let Some(city) = self.own.look_up(Source::City, ip, &self.health) {
            facts.location = city.place();
            // A place without a country is no reason to believe the bundled country.
            if city.country.is_some() || facts.location.is_some() {
                facts.country = city.country;
            }
        }
        if let Some(asn) = self.own.look_up(Source::Asn, ip, &self.health).and_then(|record| record.asn) {
            facts.asn = Some(asn);
        }
        if let Some(coverage) = self.own.coverage(Source::Anonymous, ip) {
            // Absence from this file says that the address is none of the kinds that the file knows.
            let own = self.own.look_up(Source::Anonymous, ip, &self.health).map(|record| record.kind).unwrap_or_default();
            facts.kind = coverage.merge(facts.kind, own);
        }
        facts
    }
}

/// The right to look at the files, given back when dropped, even by a panic.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(looking: &Arc<AtomicBool>) -> Option<Self> {
        (!looking.swap(true, Ordering::AcqRel)).then(|| Turn(Arc::clone(looking)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
