//! Custom mmdb files of the operator. They are read into memory and replaced atomically when they change.
//!
//! They are not memory-mapped: that requires `unsafe`, and truncating a mapped file would kill the process.

use std::{
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::SystemTime,
};

use arc_swap::ArcSwapOption;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use crate::{
    coverage::{Coverage, FieldNames},
    record::Record,
};
use riskgate_config::{env::ConfigError, networks::NetworksConfig, variables::PREFIX};
use riskgate_engine::network_source::Source;
use riskgate_runtime::health::Health;

/// How many records of a file are decoded before it is accepted.
const PROBED_RECORDS: usize = 1000;

/// The configured files.
#[derive(Debug)]
pub(super) struct CustomDatabases {
    city: Option<CustomDatabase>,
    asn: Option<CustomDatabase>,
    anonymous: Option<CustomDatabase>,
}

/// One configured file.
#[derive(Debug)]
struct CustomDatabase {
    source: Source,
    path: PathBuf,
    /// The database in use; `None` until the file is read for the first time.
    current: ArcSwapOption<Database>,
    /// The result of the last check for changes.
    last_check: Mutex<LastCheck>,
}

/// A file in memory, and its coverage.
#[derive(Debug)]
struct Database {
    reader: Reader<Vec<u8>>,
    coverage: Coverage,
}

/// The metadata by which a changed file is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: SystemTime,
    len: u64,
}

/// The result of the last check of a file.
#[derive(Debug, Default)]
struct LastCheck {
    stamp: Option<FileStamp>,
    /// Whether the file with that stamp is in use.
    is_in_use: bool,
    /// Whether the newest file could not be read.
    is_outdated: bool,
}

/// The reason why a file is rejected.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    /// The file is missing, is a directory, or is not readable.
    #[error("cannot read {path}: {}", .error.kind())]
    Read { path: String, error: io::Error },
    /// The file changed while it was read, so it is still being written.
    #[error("{path} is being written to")]
    Unfinished { path: String },
    /// The file is not an mmdb file, or is truncated.
    #[error("{path} is not a MaxMind database, or is damaged: {error}")]
    Format { path: String, error: MaxMindDbError },
    /// The database is of another kind.
    #[error("{path} has no {wanted} in a supported field; check that it is the right file")]
    Unfit { path: String, wanted: &'static str },
}

impl CustomDatabases {
    /// Reads the configured files. Files that cannot be read are returned as errors.
    pub(super) fn open(config: &NetworksConfig, health: &Health) -> (Self, Vec<ConfigError>) {
        let mut faults = Vec::new();
        let mut open = |source: Source, path: &Option<PathBuf>| {
            let file = CustomDatabase { source, path: path.clone()?, current: ArcSwapOption::empty(), last_check: Mutex::default() };
            if let Err(error) = file.reload_if_changed(health) {
                faults.push(ConfigError { variable: format!("{PREFIX}{}", variable(source)), problem: error.to_string() });
            }
            Some(file)
        };
        let databases = CustomDatabases {
            city: open(Source::City, &config.city_db),
            asn: open(Source::Asn, &config.asn_db),
            anonymous: open(Source::Anonymous, &config.anonymous_db),
        };
        databases.count_outdated(health);
        (databases, faults)
    }

    /// Whether no file is configured.
    pub(super) fn is_empty(&self) -> bool {
        self.city.is_none() && self.asn.is_none() && self.anonymous.is_none()
    }

    /// The coverage of a source's file for an address; `None` when there is no file, or it has no addresses of that family.
    pub(super) fn coverage(&self, source: Source, ip: IpAddr) -> Option<Coverage> {
        let current = self.file(source)?.current.load();
        current.as_ref().map(|database| database.coverage).filter(|coverage| coverage.includes_family_of(ip))
    }

    /// Reloads the files that changed. A file that cannot be read is counted and logged, and the previous one stays in use.
    pub(super) fn reload_changed(&self, health: &Health) {
        for file in [&self.city, &self.asn, &self.anonymous].into_iter().flatten() {
            if let Err(error) = file.reload_if_changed(health) {
                Health::count(&health.networks_refused);
                tracing::warn!(source = file.source.as_label(), %error, "could not load the network database; the previous one stays in use");
            }
        }
        self.count_outdated(health);
    }

    fn count_outdated(&self, health: &Health) {
        let outdated = [&self.city, &self.asn, &self.anonymous].into_iter().flatten().filter(|file| file.is_outdated()).count();
        health.networks_outdated.store(outdated as u64, Ordering::Relaxed);
    }

    /// Looks up an address in a source's file. A damaged record is counted and treated as absent.
    pub(super) fn look_up(&self, source: Source, ip: IpAddr, health: &Health) -> Option<Record> {
        let current = self.file(source)?.current.load();
        let Database { reader, coverage } = &**current.as_ref()?;
        if !coverage.includes_family_of(ip) {
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

    fn file(&self, source: Source) -> Option<&CustomDatabase> {
        match source {
            Source::Bundled => None,
            Source::City => self.city.as_ref(),
            Source::Asn => self.asn.as_ref(),
            Source::Anonymous => self.anonymous.as_ref(),
        }
    }
}

impl CustomDatabase {
    /// Reloads the file if its metadata changed since the last check.
    fn reload_if_changed(&self, health: &Health) -> Result<(), OpenError> {
        let mut last_check = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.stamp();
        if let (Ok(stamp), Some(last)) = (&before, last_check.stamp)
            && *stamp == last
        {
            last_check.is_outdated = !last_check.is_in_use;
            return Ok(());
        }
        match before.and_then(|stamp| Ok((stamp, self.read(stamp)?))) {
            Ok((stamp, database)) => {
                *last_check = LastCheck { stamp: Some(stamp), is_in_use: true, is_outdated: false };
                health.networks_built[self.source as usize].store(database.reader.metadata().build_epoch, Ordering::Relaxed);
                self.current.store(Some(Arc::new(database)));
                Ok(())
            }
            Err(error) => {
                last_check.is_outdated = true;
                // A complete but invalid file is rejected once, not at every check.
                if let OpenError::Format { .. } | OpenError::Unfit { .. } = error {
                    (last_check.stamp, last_check.is_in_use) = (self.stamp().ok(), false);
                }
                Err(error)
            }
        }
    }

    fn is_outdated(&self) -> bool {
        self.last_check.lock().unwrap_or_else(PoisonError::into_inner).is_outdated
    }

    fn read(&self, stamp: FileStamp) -> Result<Database, OpenError> {
        let bytes = fs::read(&self.path).map_err(|error| OpenError::Read { path: self.display_path(), error })?;
        if self.stamp()? != stamp {
            return Err(OpenError::Unfinished { path: self.display_path() });
        }
        let reader = Reader::from_source(bytes).map_err(|error| OpenError::Format { path: self.display_path(), error })?;
        let coverage = self.probe(&reader)?;
        Ok(Database { reader, coverage })
    }

    /// Decodes the first records. A damaged or wrong file is detected before it is used for a sign-in.
    fn probe(&self, reader: &Reader<Vec<u8>>) -> Result<Coverage, OpenError> {
        let damaged = |error| OpenError::Format { path: self.display_path(), error };
        let (mut has_wanted, mut has_other) = (false, false);
        let mut names = FieldNames::default();
        for found in reader.networks(WithinOptions::default()).map_err(damaged)?.take(PROBED_RECORDS) {
            let found = found.map_err(damaged)?;
            let Some(record) = found.decode::<Record>().map_err(damaged)? else { continue };
            names.extend(found.decode().map_err(damaged)?.unwrap_or_default());
            let has = |source| match source {
                Source::Bundled => false,
                Source::City => record.country.is_some() || record.location().is_some(),
                Source::Asn => record.asn.is_some(),
                Source::Anonymous => record.kind != Default::default(),
            };
            has_wanted |= has(self.source);
            has_other |= Source::ALL.into_iter().any(|source| source != self.source && has(source));
        }
        // Records without fields do not indicate a wrong file. Records without any supported field do.
        let is_foreign = !names.is_empty() && !names.are_used_for(self.source);
        if !has_wanted && (has_other || is_foreign) {
            return Err(OpenError::Unfit { path: self.display_path(), wanted: wanted(self.source) });
        }
        Coverage::of(reader, &names).map_err(damaged)
    }

    fn stamp(&self) -> Result<FileStamp, OpenError> {
        let stamp = || {
            let metadata = fs::metadata(&self.path)?;
            Ok(FileStamp { modified: metadata.modified()?, len: metadata.len() })
        };
        stamp().map_err(|error| OpenError::Read { path: self.display_path(), error })
    }

    fn display_path(&self) -> String {
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
