//! The bundled database `data/networks.bin`, compiled into the program.
//!
//! A sorted table instead of an mmdb: half the size, and a look-up is a search within 65,536
//! addresses. `data/README.md` describes the format, `data/table.py` writes it and checks it.

use std::net::{IpAddr, Ipv4Addr};

use riskgate_engine::{
    context::Country,
    network_facts::{NetworkFacts, NetworkKind},
};
use riskgate_runtime::health::BundledPart;

const BYTES: &[u8] = include_bytes!("../data/networks.bin");

/// The first bytes: name and version of the format.
const MAGIC: &[u8] = b"RGNETS\x01\x00";

// A clone without symbolic links, or a damaged one, does not build.
const _: () = assert!(begins_with(BYTES, MAGIC), "crates/network/data/networks.bin is not the database: it is a symbolic link to data/networks.bin");

const fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    let mut index = 0;
    while index < start.len() {
        if index >= bytes.len() || bytes[index] != start[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Bytes of a record: AS number, country, kind.
const RECORD_BYTES: usize = 7;

/// IPv4 addresses with the same first half are one bucket.
const V4_BUCKETS: usize = 1 << 16;

/// A reader of the bundled database. It reads the program's static data without a copy.
#[derive(Debug)]
pub(super) struct Bundled {
    /// The date of each part's source, in seconds since 1970.
    dates: [u32; BundledPart::ALL.len()],
    records: &'static [u8],
    v4_buckets: Numbers,
    v4: Entries,
    /// The first 32 bits of the IPv6 addresses where something starts.
    v6_keys: Numbers,
    v6_buckets: Numbers,
    v6: Entries,
    hosts: Hosts,
}

/// Little-endian numbers of 4 bytes.
#[derive(Debug, Clone, Copy)]
struct Numbers(&'static [u8]);

/// Where a record starts within its bucket, and its number.
#[derive(Debug)]
struct Entries {
    /// 2 bytes each.
    starts: &'static [u8],
    /// 3 bytes each.
    records: &'static [u8],
}

/// Ranges of IPv6 hosts (/64) whose kind differs from their network's.
#[derive(Debug)]
struct Hosts {
    /// 8 bytes each.
    starts: &'static [u8],
    /// 8 bytes each; inclusive.
    ends: &'static [u8],
    kinds: &'static [u8],
}

impl Bundled {
    pub(super) fn open() -> Self {
        Self::read(BYTES).expect("a test reads the bundled database")
    }

    fn read(bytes: &'static [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut take = |length: usize| {
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(part)
        };
        let header = Numbers(take(8 * 4)?);
        let count = |index| header.get(index) as usize;
        let (records, v4, keys, v6, hosts) = (count(3), count(4), count(5), count(6), count(7));
        let bundled = Bundled {
            dates: [header.get(0), header.get(1), header.get(2)],
            records: take(records * RECORD_BYTES)?,
            v4_buckets: Numbers(take((V4_BUCKETS + 1) * 4)?),
            v4: Entries { starts: take(v4 * 2)?, records: take(v4 * 3)? },
            v6_keys: Numbers(take(keys * 4)?),
            v6_buckets: Numbers(take((keys + 1) * 4)?),
            v6: Entries { starts: take(v6 * 2)?, records: take(v6 * 3)? },
            hosts: Hosts { starts: take(hosts * 8)?, ends: take(hosts * 8)?, kinds: take(hosts)? },
        };
        rest.is_empty().then_some(bundled)
    }

    /// The date of a part's source, in seconds since 1970.
    pub(super) fn date(&self, part: BundledPart) -> u64 {
        self.dates[part as usize].into()
    }

    /// Looks up country, AS number and network kind. The caller adds the location.
    pub(super) fn look_up(&self, ip: IpAddr) -> NetworkFacts {
        match ip {
            IpAddr::V4(ip) => self.look_up_v4(ip),
            // 6to4 (RFC 3056): the IPv4 address follows the prefix.
            IpAddr::V6(ip) => match ip.segments() {
                [0x2002, high, low, ..] => self.look_up_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
                _ => self.look_up_v6(ip.to_bits()),
            },
        }
    }

    fn look_up_v4(&self, ip: Ipv4Addr) -> NetworkFacts {
        let [bucket, start] = halves(ip.to_bits());
        let record = self.v4.find(self.v4_buckets.get(bucket.into()), self.v4_buckets.get(usize::from(bucket) + 1), start);
        self.facts(record)
    }

    fn look_up_v6(&self, ip: u128) -> NetworkFacts {
        #[expect(clippy::cast_possible_truncation, reason = "the parts of the address")]
        let (key, network, host) = ((ip >> 96) as u32, (ip >> 80) as u16, (ip >> 64) as u64);
        let after = partition_point(0, self.v6_keys.len(), |index| self.v6_keys.get(index) <= key);
        let Some(bucket) = after.checked_sub(1) else { return NetworkFacts::default() };
        // After the last bucket in which something starts, its last entry is still in force.
        let start = if self.v6_keys.get(bucket) == key { network } else { u16::MAX };
        let record = self.v6.find(self.v6_buckets.get(bucket), self.v6_buckets.get(bucket + 1), start);
        let mut facts = self.facts(record);
        if let Some(kind) = self.hosts.find(host) {
            facts.kind = kind;
        }
        facts
    }

    fn facts(&self, record: usize) -> NetworkFacts {
        let [a, b, c, d, first, second, kind] = bytes_at(self.records, record);
        let asn = u32::from_le_bytes([a, b, c, d]);
        NetworkFacts {
            country: std::str::from_utf8(&[first, second]).ok().and_then(Country::parse),
            asn: (asn != 0).then_some(asn),
            location: None,
            kind: kind_of(kind),
        }
    }
}

/// The kinds by their number in the file.
fn kind_of(number: u8) -> NetworkKind {
    NetworkKind::from_name(["", "hosting", "vpn", "tor", "relay"].get(usize::from(number)).copied().unwrap_or_default())
}

impl Numbers {
    fn get(self, index: usize) -> u32 {
        u32::from_le_bytes(bytes_at(self.0, index))
    }

    fn len(self) -> usize {
        self.0.len() / 4
    }
}

impl Entries {
    /// The number of the record in force at `start`, among the entries of one bucket. The first of them starts at 0.
    fn find(&self, first: u32, last: u32, start: u16) -> usize {
        let after = partition_point(first as usize, last as usize, |index| u16::from_le_bytes(bytes_at(self.starts, index)) <= start);
        let [a, b, c] = bytes_at(self.records, after.saturating_sub(1));
        u32::from_le_bytes([a, b, c, 0]) as usize
    }
}

impl Hosts {
    fn find(&self, host: u64) -> Option<NetworkKind> {
        let number = |bytes, index| u64::from_le_bytes(bytes_at(bytes, index));
        let index = partition_point(0, self.kinds.len(), |index| number(self.starts, index) <= host).checked_sub(1)?;
        (host <= number(self.ends, index)).then(|| self.kinds.get(index).map(|kind| kind_of(*kind)))?
    }
}

/// The upper and the lower 16 bits.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
fn halves(number: u32) -> [u16; 2] {
    [(number >> 16) as u16, number as u16]
}

/// The first index from `first` to `last` at which `is_before` does not hold.
fn partition_point(mut first: usize, mut last: usize, is_before: impl Fn(usize) -> bool) -> usize {
    while first < last {
        let middle = usize::midpoint(first, last);
        if is_before(middle) { first = middle + 1 } else { last = middle }
    }
    first
}

/// Element `index` of a table of elements of `N` bytes; zeros beyond its end.
fn bytes_at<const N: usize>(table: &[u8], index: usize) -> [u8; N] {
    let start = index.saturating_mul(N);
    table.get(start..start.saturating_add(N)).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_database_is_readable() {
        let bundled = Bundled::open();
        assert!(bundled.dates.iter().all(|date| *date > 1_700_000_000));
        let first_of_each_bucket = (0..V4_BUCKETS).map(|bucket| bundled.v4_buckets.get(bucket));
        assert!(first_of_each_bucket.clone().zip(first_of_each_bucket.skip(1)).all(|(one, next)| one < next));
        assert!((0..bundled.v6_keys.len() - 1).all(|index| bundled.v6_keys.get(index) < bundled.v6_keys.get(index + 1)));
    }

    #[test]
    fn a_6to4_address_is_its_ipv4_address() {
        let bundled = Bundled::open();
        let facts = bundled.look_up("2002:808:808::1".parse().expect("an address"));
        assert_eq!((facts.asn, facts.kind.hosting), (Some(15169), true));
    }

    #[test]
    fn a_cut_file_is_refused() {
        for length in [0, 7, 8, 39, 40, 1_000, BYTES.len() - 1] {
            assert!(Bundled::read(&BYTES[..length]).is_none(), "{length}");
        }
    }
}
