//! What a database of the operator's can say at all: by the names in its records, and by the families of its addresses.
//!
//! Where it cannot speak, the bundled knowledge stands: a file that lists Tor exits alone must not
//! take the bundled VPNs away, and one without IPv6 says nothing of IPv6.

use std::{collections::BTreeMap, net::IpAddr};

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::de::IgnoredAny;

use super::source::Source;
use crate::evidence::network_facts::NetworkKind;

/// What a file can say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coverage {
    /// The kinds of networks whose names its records hold.
    pub(super) kinds: NetworkKind,
    has_v4: bool,
    has_v6: bool,
}

/// The names of the fields in the records that were looked at.
#[derive(Debug, Default)]
pub(super) struct FieldNames(BTreeMap<String, IgnoredAny>);

impl Coverage {
    pub(super) fn of(reader: &Reader<Vec<u8>>, names: &FieldNames) -> Result<Self, MaxMindDbError> {
        let is_v6 = reader.metadata().ip_version == 6;
        // 2000::/3 is what is handed out; IPv4 stands below ::/96.
        let has_v6 = is_v6 && reader.within("2000::/3".parse().expect("a network"), WithinOptions::default())?.next().is_some();
        let has_v4 = reader.within("0.0.0.0/0".parse().expect("a network"), WithinOptions::default())?.next().is_some();
        Ok(Coverage { kinds: names.kinds(), has_v4, has_v6 })
    }

    /// Whether the file holds addresses of that family.
    pub(super) fn holds_family_of(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.has_v4 } else { self.has_v6 }
    }

    /// The kinds by the file where it can speak, else by the bundled database.
    pub(super) fn merge(&self, bundled: NetworkKind, own: NetworkKind) -> NetworkKind {
        let either = |speaks, own, bundled| if speaks { own } else { bundled };
        let mut kind = NetworkKind {
            anonymous: own.anonymous,
            vpn: either(self.kinds.vpn, own.vpn, bundled.vpn),
            tor: either(self.kinds.tor, own.tor, bundled.tor),
            public_proxy: either(self.kinds.public_proxy, own.public_proxy, bundled.public_proxy),
            residential_proxy: either(self.kinds.residential_proxy, own.residential_proxy, bundled.residential_proxy),
            hosting: either(self.kinds.hosting, own.hosting, bundled.hosting),
            // Most makers do not know relays, or count them as VPNs.
            relay: bundled.relay || own.relay,
        };
        kind.anonymous |= kind.vpn || kind.tor || kind.public_proxy || kind.residential_proxy;
        kind
    }
}

impl FieldNames {
    /// Adds the names of one record.
    pub(super) fn extend(&mut self, record: BTreeMap<String, IgnoredAny>) {
        self.0.extend(record);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name is among them that is read for this source.
    pub(super) fn are_read_for(&self, source: Source) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| self.0.contains_key(*name));
        match source {
            Source::Bundled => false,
            Source::City => has(&["country", "country_code", "location", "latitude", "lat"]),
            Source::Asn => has(&["autonomous_system_number", "asn", "as_number"]),
            Source::Anonymous => self.kinds() != NetworkKind::default() || has(&["is_anonymous", "anonymous"]),
        }
    }

    /// The kinds that the names stand for. MaxMind writes a name only where it is true, so one of its names stands for all.
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
