//! The operator's own mmdb files: read into memory, swapped whole when they change.
//!
//! No memory-mapping: it needs `unsafe`, and a file truncated in place would kill the process.

use std::{
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::SystemTime,
};

use arc_swap::ArcSwapOption;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use super::{
    coverage::{Coverage, FieldNames},
    record::Record,
    source::Source,
};
use crate::{
    config::{env::Fault, networks::NetworksConfig, variables::PREFIX},
    evidence::health::Health,
};

/// How many records of a file are decoded before it is believed.
const PROBED: usize = 1000;

/// The files that are configured.
#[derive(Debug)]
pub(super) struct OwnFiles {
    city: Option<OwnFile>,
    asn: Option<OwnFile>,
    anonymous: Option<OwnFile>,
}

#[derive(Debug)]
struct OwnFile {
    source: Source,
    path: PathBuf,
    /// `None` until the file could be read for the first time.
    current: ArcSwapOption<Database>,
    /// What the file looked like when it was last read.
    seen: Mutex<Seen>,
}

/// A file in memory, and what it can say.
#[derive(Debug)]
struct Database {
    reader: Reader<Vec<u8>>,
    coverage: Coverage,
}

/// By what a file is known to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
}

/// How the last look at a file ended.
#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// Whether the file with that stamp is in force.
    is_in_force: bool,
    /// Whether the newest file could not be read.
    is_outdated: bool,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    /// Missing, a folder, no permission.
    #[error("cannot read {path}: {}", .error.kind())]
    Read { path: String, error: io::Error },
    /// It changed while it was being read: somebody is still writing it.
    #[error("{path} is being written to")]
    Unfinished { path: String },
    /// No mmdb, or cut short.
    #[error("{path} is no MaxMind database, or a damaged one: {error}")]
    Format { path: String, error: MaxMindDbError },
    /// A database of something else.
    #[error("{path} holds no {wanted} in a field that is read: is it the right file?")]
    Unfit { path: String, wanted: &'static str },
}

// === impl OwnFiles ===

impl OwnFiles {
    pub(super) fn open(config: &NetworksConfig, health: &Health) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut open = |source: Source, path: &Option<PathBuf>| {
            let file = OwnFile { source, path: path.clone()?, current: ArcSwapOption::empty(), seen: Mutex::default() };
            if let Err(error) = file.look(health) {
                faults.push(Fault { variable: format!("{PREFIX}{}", variable(source)), problem: error.to_string() });
            }
            Some(file)
        };
        let own = OwnFiles {
            city: open(Source::City, &config.city_db),
            asn: open(Source::Asn, &config.asn_db),
            anonymous: open(Source::Anonymous, &config.anonymous_db),
        };
        own.count_outdated(health);
        (own, faults)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.city.is_none() && self.asn.is_none() && self.anonymous.is_none()
    }

    /// What a source's file can say of an address; `None` where there is no file, or none with addresses of that family.
    pub(super) fn coverage(&self, source: Source, ip: IpAddr) -> Option<Coverage> {
        let current = self.file(source)?.current.load();
        current.as_ref().map(|database| database.coverage).filter(|coverage| coverage.holds_family_of(ip))
    }

    /// Reads the files that changed; one that cannot be read leaves the old one in force and is counted.
    pub(super) fn look(&self, health: &Health) {
        for file in [&self.city, &self.asn, &self.anonymous].into_iter().flatten() {
            if let Err(error) = file.look(health) {
                Health::count(&health.networks_refused);
                tracing::warn!(source = file.source.as_label(), %error, "a network database was refused, the old one stays");
            }
        }
        self.count_outdated(health);
    }

    fn count_outdated(&self, health: &Health) {
        let outdated = [&self.city, &self.asn, &self.anonymous].into_iter().flatten().filter(|file| file.is_outdated()).count();
        health.networks_outdated.store(outdated as u64, Ordering::Relaxed);
    }

    /// What a source's file has on an address. A damaged record counts as none.
    pub(super) fn look_up(&self, source: Source, ip: IpAddr, health: &Health) -> Option<Record> {
        let current = self.file(source)?.current.load();
        let Database { reader, coverage } = &**current.as_ref()?;
        if !coverage.holds_family_of(ip) {
            return None;
        }
        match reader.lookup(ip).and_then(|result| result.decode::<Record>()) {
            Ok(record) => record,
            Err(_) => {
                Health::count(&health.networks_undecodable);
                None
            }
        }
    }

    fn file(&self, source: Source) -> Option<&OwnFile> {
        match source {
            Source::Bundled => None,
            Source::City => self.city.as_ref(),
            Source::Asn => self.asn.as_ref(),
            Source::Anonymous => self.anonymous.as_ref(),
        }
    }
}

// === impl OwnFile ===

impl OwnFile {
    /// Reads the file if it is not the one that was last seen.
    fn look(&self, health: &Health) -> Result<(), OpenError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.stamp();
        if let (Ok(stamp), Some(last)) = (&before, seen.stamp)
            && *stamp == last
        {
            seen.is_outdated = !seen.is_in_force;
            return Ok(());
        }
        match before.and_then(|stamp| Ok((stamp, self.read(stamp)?))) {
            Ok((stamp, database)) => {
                *seen = Seen { stamp: Some(stamp), is_in_force: true, is_outdated: false };
                health.networks_built[self.source as usize].store(database.reader.metadata().build_epoch, Ordering::Relaxed);
                self.current.store(Some(Arc::new(database)));
                Ok(())
            }
            Err(error) => {
                seen.is_outdated = true;
                // A file that is whole but wrong is refused once, not at every look.
                if let OpenError::Format { .. } | OpenError::Unfit { .. } = error {
                    (seen.stamp, seen.is_in_force) = (self.stamp().ok(), false);
                }
                Err(error)
            }
        }
    }

    fn is_outdated(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_outdated
    }

    fn read(&self, stamp: Stamp) -> Result<Database, OpenError> {
        let bytes = fs::read(&self.path).map_err(|error| OpenError::Read { path: self.shown(), error })?;
        if self.stamp()? != stamp {
            return Err(OpenError::Unfinished { path: self.shown() });
        }
        let reader = Reader::from_source(bytes).map_err(|error| OpenError::Format { path: self.shown(), error })?;
        let coverage = self.probe(&reader)?;
        Ok(Database { reader, coverage })
    }

    /// Decodes the first records: a file that is damaged, or of something else, is told before a sign-in meets it.
    fn probe(&self, reader: &Reader<Vec<u8>>) -> Result<Coverage, OpenError> {
        let damaged = |error| OpenError::Format { path: self.shown(), error };
        let (mut fit, mut unfit) = (false, false);
        let mut names = FieldNames::default();
        for found in reader.networks(WithinOptions::default()).map_err(damaged)?.take(PROBED) {
            let found = found.map_err(damaged)?;
            let Some(record) = found.decode::<Record>().map_err(damaged)? else { continue };
            names.extend(found.decode().map_err(damaged)?.unwrap_or_default());
            let has = |source| match source {
                Source::Bundled => false,
                Source::City => record.country.is_some() || record.place().is_some(),
                Source::Asn => record.asn.is_some(),
                Source::Anonymous => record.kind != Default::default(),
            };
            fit |= has(self.source);
            unfit |= Source::ALL.into_iter().any(|source| source != self.source && has(source));
        }
        // Records without a field are no sign of a wrong file; records of which no field is read are.
        let is_foreign = !names.is_empty() && !names.are_read_for(self.source);
        if !fit && (unfit || is_foreign) {
            return Err(OpenError::Unfit { path: self.shown(), wanted: wanted(self.source) });
        }
        Coverage::of(reader, &names).map_err(damaged)
    }

    fn stamp(&self) -> Result<Stamp, OpenError> {
        let stamp = || {
            let metadata = fs::metadata(&self.path)?;
            Ok(Stamp { modified: metadata.modified()?, len: metadata.len() })
        };
        stamp().map_err(|error| OpenError::Read { path: self.shown(), error })
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

fn variable(source: Source) -> &'static str {
    match source {
        Source::Bundled => "",
        Source::City => "CITY_DB",
        Source::Asn => "ASN_DB",
        Source::Anonymous => "ANONYMOUS_DB",
    }
}

fn wanted(source: Source) -> &'static str {
    match source {
        Source::Bundled => "networks",
        Source::City => "countries or places",
        Source::Asn => "AS numbers",
        Source::Anonymous => "kinds of networks",
    }
}
