"""Builds networks.bin: country, AS number and, if known, kind of each network."""

import ipaddress
import random

import kinds
import measure
import sources
import table
from ranges import Lookup, joined, ranked, sweep, without

MAX_BYTES = 8_000_000

# Countries and AS numbers of IPv6 have a resolution of /48, which riskgate counts as one network, and kinds one of
# /64, which it counts as one host. Finer rows are noise.
NETWORK_BITS, HOST_BITS = 48, 64

# If the country changes more often than this within one registry delegation, the source is wrong: some have
# another country in every second /48, or are tunnel brokers. There the registry's country is used.
MAX_CHANGES = 8192

# These addresses are not used on the internet (IANA's special-purpose registries), but a provider's
# feed contains the documentation networks.
SPECIAL_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
]
SPECIAL_V6 = ["::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1"]


class Sources:
    """Everything that is read, before it is joined."""

    def __init__(self, registry, operators, folder):
        self.asn4, self.asn6, asn_date = sources.packaged_ranges("iptoasn-asn", folder, lambda record: record.get("autonomous_system_number"))
        self.country4, self.country6, country_date = sources.packaged_ranges(
            "dbip-country-lite", folder, lambda record: (record.get("country") or {}).get("iso_code"))
        self.registry = sources.registry_ranges(registry)
        self.feeds, kind_date = sources.feeds()
        names = sources.asn_names(folder)
        operators = kinds.Operators(operators)
        operators.check(names)
        self.asn_kinds = kinds.classify(names, operators)
        self.names = names
        self.dates = {"country": country_date, "asn": asn_date, "kind": kind_date}


def build(registry, operators, folder, target):
    read = Sources(registry, operators, folder)
    feeds = measure.without_access(read)
    v4, v6, hosts = join(read, feeds)
    data = table.encode(v4, v6, hosts, read.dates)
    if len(data) > MAX_BYTES:
        raise SystemExit(f"{target.name} has {len(data):,} bytes, more than {MAX_BYTES:,}")
    check(table.Table(data), v4, v6, hosts)
    target.write_bytes(data)
    when = ", ".join(f"{name} {date:%Y-%m-%d}" for name, date in read.dates.items())
    print(f"{target.name}: {len(data):,} bytes, {len(v4):,} + {len(v6):,} ranges, {len(hosts):,} of hosts, {when}")
    measure.report(read, feeds, v4, v6, hosts)


def join(read, feeds):
    """The disjoint rows of IPv4, of IPv6 networks, and the kinds of IPv6 hosts that differ from their network's."""
    def record(held):
        country, asn, kind = held
        own = read.asn_kinds.get(asn)
        return country, asn, kind or (own if own != "access" else None)

    v4 = sweep([read.country4, read.asn4, ranked([(s, e, feed.kind) for feed in feeds for s, e in feed.v4])])
    v4 = joined((s, e, record(held)) for s, e, held in without(v4, SPECIAL_V4, 0))
    countries = quieted(snapped(read.country6, NETWORK_BITS), snapped(read.registry, NETWORK_BITS))
    v6 = sweep([countries, snapped(read.asn6, NETWORK_BITS), []])
    v6 = joined((s, e, record(held)) for s, e, held in without(v6, SPECIAL_V6, 128 - NETWORK_BITS))
    hosts = sweep([ranked([(s, e, feed.kind) for feed in feeds for s, e in covered(feed.v6)])])
    return v4, v6, [(s, e, kind) for s, e, (kind,) in without(hosts, SPECIAL_V6, 128 - HOST_BITS)]


# IPv6


def snapped(rows, bits):
    """IPv6 ranges in networks of `bits`: those whose first address is in a range."""
    width, out = 128 - bits, []
    for start, end, value in rows:
        start, end = (start + (1 << width) - 1) >> width, end >> width
        if end >= start:
            out.append((start, end, value))
    return out


def covered(rows):
    """The /64 networks that ranges touch. One address of a feed is its whole /64: riskgate counts it as one host."""
    return [(start >> 128 - HOST_BITS, end >> 128 - HOST_BITS) for start, end in rows]


def quieted(country, registry):
    """The rows of `country`, or those of the registry where `country` is unreliable."""
    noisy, i, count = [], 0, 0
    for start, end, _ in country:
        while i < len(registry) and registry[i][1] < start:
            i, count = i + 1, 0
        if i < len(registry) and registry[i][0] <= start:
            count += 1
            if count == MAX_CHANGES:
                noisy.append(registry[i])
    return [(s, e, over or value) for s, e, (value, over) in sweep([country, noisy])]


# Checking


def check(read, v4, v6, hosts):
    """Compares a seeded sample of the written table with the ranges."""
    pick = random.Random(20)
    for start, end, held in pick.sample(v4, 20_000):
        for value in (start, end, pick.randint(start, end)):
            expect(read, ipaddress.IPv4Address(value), held)
    by_host = Lookup(hosts)
    for start, end, held in pick.sample(v6, 20_000):
        for value in (start, end, pick.randint(start, end)):
            address = ipaddress.IPv6Address(value << 128 - NETWORK_BITS | pick.getrandbits(128 - NETWORK_BITS))
            found = read.get(address)
            if found[:2] != held[:2] or found[2] != held[2] and not by_host.get(int(address) >> 64):
                raise SystemExit(f"{address}: {found} is not {held}")
    for start, end, kind in pick.sample(hosts, min(2_000, len(hosts))):
        if read.get(ipaddress.IPv6Address(start << 64))[2] != kind:
            raise SystemExit(f"{ipaddress.IPv6Address(start << 64)} is not {kind}")
    expect(read, ipaddress.IPv4Address("8.8.8.8"), ("US", 15169, "hosting"))
    for address in ("10.1.2.3", "127.0.0.1", "224.0.0.1", "fe80::1", "2001:db8::1", "::1"):
        expect(read, ipaddress.ip_address(address), (None, None, None))


def expect(read, address, held):
    if read.get(address) != held:
        raise SystemExit(f"{address}: {read.get(address)} is not {held}")
