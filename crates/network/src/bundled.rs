//! The bundled database `data/networks.mmdb`, compiled into the program.

use std::net::IpAddr;

use maxminddb::Reader;
use serde::Deserialize;

use riskgate_engine::{
    context::Country,
    network_facts::{NetworkFacts, NetworkKind},
};

static BYTES: &[u8] = include_bytes!("../../../data/networks.mmdb");

/// A reader of the bundled database. It reads the program's static data without a copy.
#[derive(Debug)]
pub(super) struct Bundled(Reader<&'static [u8]>);

/// A record as `data/update.py` writes it.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    country: Option<&'a str>,
    #[serde(default)]
    asn: Option<u32>,
    #[serde(borrow, default)]
    kind: Option<&'a str>,
}

impl Bundled {
    pub(super) fn open() -> Self {
        Bundled(Reader::from_source(BYTES).expect("the bundled database is verified when it is built"))
    }

    /// When the database was built, in seconds since 1970.
    pub(super) fn build_time(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    /// Looks up country, AS number and network kind. The caller adds the location.
    pub(super) fn look_up(&self, ip: IpAddr) -> NetworkFacts {
        let found = self.0.lookup(ip).and_then(|result| result.decode::<Record<'_>>());
        match found {
            Ok(Some(record)) => NetworkFacts {
                country: record.country.and_then(Country::parse),
                asn: record.asn,
                location: None,
                kind: record.kind.map(NetworkKind::from_name).unwrap_or_default(),
            },
            // The bundled bytes are verified at build time, so an error does not occur.
            Ok(None) | Err(_) => NetworkFacts::default(),
        }
    }
}
