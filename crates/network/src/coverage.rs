//! The coverage of a custom database: the network kinds in its field names, and its address families.
//!
//! The bundled database is used for everything else. A file that lists only Tor exits must not
//! remove the bundled VPNs, and a file without IPv6 has no data about IPv6 addresses.

use std::{collections::BTreeMap, net::IpAddr};

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::de::IgnoredAny;

use riskgate_engine::network_facts::NetworkKind;
use riskgate_engine::network_source::Source;

/// The coverage of one file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coverage {
    /// The network kinds for which its records have fields.
    pub(super) kinds: NetworkKind,
    has_v4: bool,
    has_v6: bool,
}

/// The field names of the records that were examined.
#[derive(Debug, Default)]
pub(super) struct FieldNames(BTreeMap<String, IgnoredAny>);

impl Coverage {
    /// Determines the coverage of a file from its addresses and field names.
    pub(super) fn of(reader: &Reader<Vec<u8>>, names: &FieldNames) -> Result<Self, MaxMindDbError> {
        let is_v6 = reader.metadata().ip_version == 6;
        // 2000::/3 is the global unicast range. IPv4 is stored below ::/96.
        let has_v6 = is_v6 && reader.within("2000::/3".parse().expect("a network"), WithinOptions::default())?.next().is_some();
        let has_v4 = reader.within("0.0.0.0/0".parse().expect("a network"), WithinOptions::default())?.next().is_some();
        Ok(Coverage { kinds: names.kinds(), has_v4, has_v6 })
    }

    /// Whether the file contains addresses of the same family.
    pub(super) fn includes_family_of(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.has_v4 } else { self.has_v6 }
    }

    /// Takes the kinds that the file covers from the file, and the others from the bundled database.
    pub(super) fn merge(&self, bundled: NetworkKind, custom: NetworkKind) -> NetworkKind {
        let select = |is_covered, custom, bundled| if is_covered { custom } else { bundled };
        let mut kind = NetworkKind {
            anonymous: custom.anonymous,
            vpn: select(self.kinds.vpn, custom.vpn, bundled.vpn),
            tor: select(self.kinds.tor, custom.tor, bundled.tor),
            public_proxy: select(self.kinds.public_proxy, custom.public_proxy, bundled.public_proxy),
            residential_proxy: select(self.kinds.residential_proxy, custom.residential_proxy, bundled.residential_proxy),
            hosting: select(self.kinds.hosting, custom.hosting, bundled.hosting),
            // Most vendors do not list relays, or count them as VPNs.
            relay: bundled.relay || custom.relay,
        };
        kind.anonymous |= kind.vpn || kind.tor || kind.public_proxy || kind.residential_proxy;
        kind
    }
}

impl FieldNames {
    /// Adds the field names of one record.
    pub(super) fn extend(&mut self, record: BTreeMap<String, IgnoredAny>) {
        self.0.extend(record);
    }

    /// Whether no field name was found.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of the names is used for this source.
    pub(super) fn are_used_for(&self, source: Source) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| self.0.contains_key(*name));
        match source {
            Source::Bundled => false,
            Source::City => has(&["country", "country_code", "location", "latitude", "lat"]),
            Source::Asn => has(&["autonomous_system_number", "asn", "as_number"]),
            Source::Anonymous => self.kinds() != NetworkKind::default() || has(&["is_anonymous", "anonymous"]),
        }
    }

    /// The kinds that the names stand for. MaxMind writes a field only where it is true, so one of its names implies all of them.
    fn kinds(&self) -> NetworkKind {
        let has = |names: &[&str]| names.iter().any(|name| self.0.contains_key(*name));
        let maxmind = ["is_anonymous", "is_anonymous_vpn", "is_tor_exit_node", "is_public_proxy", "is_residential_proxy", "is_hosting_provider"];
        let all = has(&maxmind) || has(&["kind", "proxy_type"]);
        NetworkKind {
            anonymous: false,
            vpn: all || has(&["vpn", "is_vpn"]),
            tor: all || has(&["tor", "is_tor"]),
            public_proxy: all || has(&["proxy", "is_proxy", "public_proxy"]),
            residential_proxy: all || has(&["residential_proxy"]),
            hosting: all || has(&["hosting", "is_hosting", "is_datacenter", "datacenter"]),
            relay: has(&["relay", "is_relay"]),
        }
    }
}
