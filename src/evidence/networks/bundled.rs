//! The database that is linked into the program: `data/networks.mmdb`.

use std::net::IpAddr;

use maxminddb::Reader;
use serde::Deserialize;

use crate::{
    event::context::Country,
    evidence::network_facts::{NetworkFacts, NetworkKind},
};

static BYTES: &[u8] = include_bytes!("../../../data/networks.mmdb");

/// Reads the linked-in bytes where they lie.
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
        Bundled(Reader::from_source(BYTES).expect("the database was read back when it was built"))
    }

    /// Seconds since 1970.
    pub(super) fn built(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    /// Country, AS number and kind; the place is the caller's to add.
    pub(super) fn look_up(&self, ip: IpAddr) -> NetworkFacts {
        let found = self.0.lookup(ip).and_then(|result| result.decode::<Record<'_>>());
        match found {
            Ok(Some(record)) => NetworkFacts {
                country: record.country.and_then(Country::parse),
                asn: record.asn,
                location: None,
                kind: record.kind.map(NetworkKind::named).unwrap_or_default(),
            },
            // Its bytes are the ones that were checked, so an error is as good as unreachable.
            Ok(None) | Err(_) => NetworkFacts::default(),
        }
    }
}
