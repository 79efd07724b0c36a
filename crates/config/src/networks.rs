//! The operator's custom mmdb files.

use std::path::PathBuf;

use crate::env::Reader;

/// mmdb files that replace or refine the bundled database. Records are nested like MaxMind's, or flat.
#[derive(Debug, Clone, Default)]
pub struct NetworksConfig {
    /// Country, location and accuracy radius. `CITY_DB`.
    pub city_db: Option<PathBuf>,
    /// Autonomous systems. `ASN_DB`.
    pub asn_db: Option<PathBuf>,
    /// Anonymous-IP flags. `ANONYMOUS_DB`.
    pub anonymous_db: Option<PathBuf>,
}

impl NetworksConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        NetworksConfig {
            city_db: r.text("CITY_DB").map(PathBuf::from),
            asn_db: r.text("ASN_DB").map(PathBuf::from),
            anonymous_db: r.text("ANONYMOUS_DB").map(PathBuf::from),
        }
    }
}
