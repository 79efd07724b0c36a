"""Builds networks.mmdb: country, AS number and, if known, kind of each network."""

import csv
import datetime
import ipaddress
import random

import maxminddb
from iporigin._data import dataset
from mmdb_writer import Encoder, MMDBTypeID, SearchTreeLeaf, SearchTreeNode, TreeWriter

MAX_BYTES = 16_000_000

# Kinds of IPv6 networks have a resolution of /64, which riskgate counts as one host; countries and
# ASNs have /48, which it counts as one network. Finer rows are noise and would deepen the tree.
V6_BITS = 64
V6_NETWORK_BITS = 48

# If the country changes more often than this within one registry delegation, the source is wrong.
# Five such delegations (three Australian blocks with "Belgian" in every second /48, a tunnel broker,
# a content network) made 120,000 of 416,000 IPv6 ranges. There the registry's country is used.
MAX_CHANGES = 8192

# Providers for which iporigin uses lists without a licence (its NOTICE, section 3).
# hosting_asns.csv lists the same operators by their AS numbers instead.
UNLICENSED = {
    "Akamai", "BunnyCDN", "BuyVM", "CDN77", "Cogent", "Contabo", "DataCamp", "GTHost", "GleSYS",
    "Melbicom", "Scalaxy", "Vercel",
}

# Content networks and crawlers are servers in a data centre too. Apple's Private Relay does not count
# as a VPN: its exits are in the user's country and belong to a paying Apple account.
KINDS = {"hosting": "hosting", "cdn": "hosting", "bot": "hosting", "vpn": "vpn", "tor": "tor"}
RELAYS = {"Apple Private Relay"}

# An IPv4 address written as IPv6, and 6to4: both contain the IPv4 address directly after the prefix.
# Teredo is omitted: its prefix is followed by the server's address, not the user's.
ALIASES = ["::ffff:0:0/96", "2002::/16"]

# These addresses are not used on the internet (IANA's special-purpose registries), but a provider's
# feed contains the documentation networks.
SPECIAL_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
]
SPECIAL_V6 = ["::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1"]


def build(fetch, hosting_asns, target):
    country_source, asn_source = fetch("@ip-location-db/dbip-country"), fetch("@ip-location-db/asn")
    registry_source = fetch("@ip-location-db/asn-country")
    asn_kinds, kinds = read_asn_kinds(hosting_asns, asn_source), dataset()

    v4 = sweep([
        list(read(country_source / "dbip-country-ipv4-num.csv")),
        list(read(asn_source / "asn-ipv4-num.csv", int)),
        [(s, e, kind(kinds, n)) for s, e, n in zip(kinds.v4_starts, kinds.v4_ends, kinds.v4_labels)],
    ])
    registry = snapped(read(registry_source / "asn-country-ipv6-num.csv"), V6_NETWORK_BITS)
    country = snapped(read(country_source / "dbip-country-ipv6-num.csv"), V6_NETWORK_BITS)
    v6 = sweep([
        quieted(country, registry),
        snapped(read(asn_source / "asn-ipv6-num.csv", int), V6_NETWORK_BITS),
        snapped(((s, e, kind(kinds, n)) for s, e, n in
                 zip(kinds.v6_starts, kinds.v6_ends, kinds.v6_labels)), V6_BITS),
    ])
    v4 = [(s, e, record(r, asn_kinds)) for s, e, r in without(v4, SPECIAL_V4, 0)]
    v6 = [(s, e, record(r, asn_kinds)) for s, e, r in without(v6, SPECIAL_V6, 128 - V6_BITS)]

    built = {
        "country": day(fetch.version("@ip-location-db/dbip-country")),
        "asn": day(fetch.version("@ip-location-db/asn")),
        "kind": datetime.datetime.fromtimestamp(kinds.built_at, datetime.timezone.utc),
    }
    write(target, v4, v6, built)
    check(target, v4, v6)


# Reading the sources


def read(path, parse=str):
    with open(path, newline="", encoding="utf-8") as rows:
        for start, end, value, *_ in csv.reader(rows):
            if int(end) >= int(start) and value:
                yield int(start), int(end), parse(value)


def read_asn_kinds(path, asn_source):
    """Returns the kind by AS number. The operator of each row must still be the registered one."""
    names = {}
    for family in ("ipv4", "ipv6"):
        with open(asn_source / f"asn-{family}-num.csv", newline="", encoding="utf-8") as rows:
            names.update((int(asn), name) for _, _, asn, name in csv.reader(rows))
    with open(path, newline="", encoding="utf-8") as rows:
        listed = [(int(r["asn"]), r["operator"], r["kind"]) for r in csv.DictReader(rows)]
    for asn, operator, _ in listed:
        if operator.lower() not in names.get(asn, "").lower():
            raise SystemExit(f"AS{asn} is {names.get(asn)!r} now, not {operator!r}: edit {path.name}")
    return {asn: kind for asn, _, kind in listed}


def kind(kinds, label):
    provider, named = kinds.labels[label]
    if provider in UNLICENSED:
        return None
    return "relay" if provider in RELAYS else KINDS[named]


def day(version):
    return datetime.datetime.strptime(version.split(".")[2], "%Y%m%d%H").replace(
        tzinfo=datetime.timezone.utc)


# Joining them


def snapped(rows, bits):
    """Rounds IPv6 ranges, counted in /64, to networks of `bits`: those whose first address is in a range."""
    host, width = 128 - bits, V6_BITS - bits
    out = []
    for start, end, value in rows:
        start, end = (start + (1 << host) - 1) >> host, end >> host
        if end >= start:
            out.append((start << width, ((end + 1) << width) - 1, value))
    return out


def quieted(country, registry):
    """Returns the rows of `country`, or those of the registry where `country` is unreliable."""
    noisy, i, count = [], 0, 0
    for start, end, _ in country:
        while i < len(registry) and registry[i][1] < start:
            i, count = i + 1, 0
        if i < len(registry) and registry[i][0] <= start:
            count += 1
            if count == MAX_CHANGES:
                noisy.append(registry[i])
    return [(s, e, over or value) for s, e, (value, over) in sweep([country, noisy])]


def sweep(layers):
    """Returns disjoint sorted (start, end, (value of each layer)) with equal neighbours joined."""
    events = []
    for index, layer in enumerate(layers):
        for start, end, value in layer:
            events.append((start, 1, index, value))
            events.append((end + 1, 0, index, None))
    events.sort(key=lambda event: event[:2])
    now, at, out = [None] * len(layers), 0, []
    for position, _, index, value in events:
        if position > at:
            held = tuple(now)
            if any(held):
                if out and out[-1][1] == at - 1 and out[-1][2] == held:
                    out[-1] = (out[-1][0], position - 1, held)
                else:
                    out.append((at, position - 1, held))
            at = position
        now[index] = value
    return out


def without(rows, networks, unit_bits):
    """Returns the rows without the given networks, whose addresses are counted in units of `unit_bits` bits."""
    special = []
    for network in map(ipaddress.ip_network, networks):
        first, last = int(network.network_address), int(network.broadcast_address)
        special.append((first >> unit_bits, last >> unit_bits, True))
    return [(s, e, held) for s, e, (held, hidden) in sweep([rows, special]) if not hidden]


def record(held, asn_kinds):
    country, asn, kind = held
    kind = kind or asn_kinds.get(asn)
    return tuple((k, v) for k, v in (("country", country), ("asn", asn), ("kind", kind)) if v)


# Writing


def write(target, v4, v6, built):
    leaves = {}
    root, v4_root = tree(v6, V6_BITS, leaves), tree(v4, 32, leaves)
    for prefix in ["::/96", *ALIASES]:
        graft(root, ipaddress.ip_network(prefix), v4_root)
    newest = max(built.values())
    sources = ", ".join(f"{name} {when:%Y-%m-%d}" for name, when in built.items())
    BlockWriter(root, {
        "ip_version": 6,
        "database_type": "riskgate-networks",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": int(newest.timestamp()),
        "description": {"en": f"Country, ASN and kind of networks for riskgate ({sources}). "
                              "IP Geolocation by DB-IP; RouteViews; NRO; see data/README.md"},
    }, int_type="u32").write(target)
    size = target.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{target.name} has {size:,} bytes, more than {MAX_BYTES:,}")
    print(f"{target.name}: {size:,} bytes, {len(v4):,} + {len(v6):,} ranges, "
          f"{len(leaves):,} records, {sources}")


class InlineEncoder(Encoder):
    """Writes a record's country and ASN inline; only keys and kinds are pointers.

    The base class uses a pointer for every value. With such short values that saves nothing, and a
    look-up touches more of the section.
    """

    def _encode_map(self, value):
        out = self._make_header(MMDBTypeID.MAP, len(value))
        for key, held in value.items():
            out += self.encode(key)
            out += self.encode(held) if key == "kind" else self.type_encoder[self.python_type_id(held)](held)
        return out


class BlockWriter(TreeWriter):
    """Writes the tree in blocks of eight levels. A look-up then touches few pages of the file.

    In the order of the base class, the right half of the tree begins in the middle of the file, the
    right half of that in the middle of the rest, and so on: almost every step touches another page.
    """

    encoder_cls = InlineEncoder
    LEVELS = 8

    def _enumerate_nodes(self, root):
        for name in ("country", "asn", "kind", *sorted({*KINDS.values(), "relay"})):
            self.encoder.encode(name)  # at the front, where a pointer takes two bytes
        roots = [root]
        while roots:
            level = [roots.pop()]
            for _ in range(self.LEVELS):
                below = []
                for node in level:
                    if id(node) not in self._node_idx:
                        self._node_idx[id(node)] = self._node_counter
                        self._node_counter += 1
                        self._node_list.append(node)
                        below.extend(child for child in (node.left, node.right) if self.is_node(child))
                level = below
            roots.extend(reversed(level))

    def is_node(self, child):
        if isinstance(child, SearchTreeLeaf) and id(child) not in self._leaf_offset:
            self._leaf_offset[id(child)] = self.encoder.encode(child.value, return_offset=True) + 16
        return isinstance(child, SearchTreeNode)


def tree(rows, bits, leaves):
    position = 0

    def node(start, height):
        nonlocal position
        end = start + (1 << height) - 1
        while position < len(rows) and rows[position][1] < start:
            position += 1
        if position == len(rows) or rows[position][0] > end:
            return None
        first, last, held = rows[position]
        if first <= start and last >= end:
            return leaves.setdefault(held, SearchTreeLeaf(dict(held)))
        half = 1 << (height - 1)
        return SearchTreeNode(node(start, height - 1), node(start + half, height - 1))

    return node(0, bits)


def graft(root, network, branch):
    bits = [int(network.network_address) >> (127 - i) & 1 for i in range(network.prefixlen)]
    at = root
    for bit in bits[:-1]:
        if not isinstance(at[bit], SearchTreeNode):
            at[bit] = SearchTreeNode()
        at = at[bit]
    at[bits[-1]] = branch


# Checking


def check(target, v4, v6):
    """Reads the file with another implementation and compares a seeded sample with the ranges."""
    pick = random.Random(20)
    with maxminddb.open_database(target) as reader:
        for rows, family in ((v4, ipaddress.IPv4Address), (v6, lambda n: ipaddress.IPv6Address(n << 64))):
            for start, end, held in pick.sample(rows, 20_000):
                address = family(pick.randint(start, end))
                six_to_four = address.version == 6 and address.sixtofour
                if not six_to_four and reader.get(address) != dict(held):
                    raise SystemExit(f"{address}: {reader.get(address)} is not {dict(held)}")
        for address in ("8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1"):
            if reader.get(address) != {"country": "US", "asn": 15169, "kind": "hosting"}:
                raise SystemExit(f"{address}: {reader.get(address)}")
