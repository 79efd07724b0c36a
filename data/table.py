"""The file format of networks.bin: writer and reader. data/README.md describes it."""

import struct
from bisect import bisect_right

MAGIC = b"RGNETS\x01\x00"
KINDS = (None, "hosting", "vpn", "tor", "relay")


def encode(v4, v6, hosts, dates):
    """The bytes of a table.

    `v4` and `v6` are sorted disjoint (start, end, (country, asn, kind)), in addresses and in /48 networks. `hosts` are
    (start, end, kind) in /64 networks; a kind there replaces the record's. `dates` has one Unix time for each source.
    """
    records = {(None, None, None): 0}

    def number(held):
        return records.setdefault(held, len(records))

    index, low4, id4 = [0], [], []
    for bucket, rows in buckets(v4, 16, number, range(1 << 16)):
        low4 += [low for low, _ in rows]
        id4 += [held for _, held in rows]
        index.append(len(low4))
    keys, offsets, low6, id6 = [], [0], [], []
    for bucket, rows in buckets(v6, 16, number, None):
        keys.append(bucket)
        low6 += [low for low, _ in rows]
        id6 += [held for _, held in rows]
        offsets.append(len(low6))
    out = bytearray(MAGIC)
    out += struct.pack("<3I", *(int(dates[name].timestamp()) for name in ("country", "asn", "kind")))
    out += struct.pack("<5I", len(records), len(low4), len(keys), len(low6), len(hosts))
    for country, asn, kind in records:
        out += struct.pack("<I2sB", asn or 0, (country or "\0\0").encode(), KINDS.index(kind))
    out += struct.pack(f"<{len(index)}I", *index)
    out += struct.pack(f"<{len(low4)}H", *low4)
    out += b"".join(held.to_bytes(3, "little") for held in id4)
    out += struct.pack(f"<{len(keys)}I", *keys)
    out += struct.pack(f"<{len(offsets)}I", *offsets)
    out += struct.pack(f"<{len(low6)}H", *low6)
    out += b"".join(held.to_bytes(3, "little") for held in id6)
    out += struct.pack(f"<{len(hosts)}Q", *(start for start, _, _ in hosts))
    out += struct.pack(f"<{len(hosts)}Q", *(end for _, end, _ in hosts))
    out += bytes(KINDS.index(kind) for _, _, kind in hosts)
    return bytes(out)


def buckets(rows, bits, number, every):
    """Yields (bucket, [(low part of a start, record)]) in order; every bucket's first entry starts at 0.

    `every` lists the buckets that must be present. Without it, a bucket in which nothing starts is left out: the last
    entry of the bucket before it is still in force.
    """
    edges = []
    for start, end, held in rows:
        if edges and edges[-1][0] == start:
            edges.pop()
        edges += [(start, number(held)), (end + 1, 0)]
    grouped, in_force = {}, 0
    for position, value in edges:
        bucket, low = position >> bits, position & ((1 << bits) - 1)
        group = grouped.setdefault(bucket, [] if low == 0 else [(0, in_force)])
        group.append((low, value))
        in_force = value
    if every is None:
        yield from grouped.items()
        return
    in_force = 0
    for bucket in every:
        group = grouped.get(bucket, [(0, in_force)])
        yield bucket, group
        in_force = group[-1][1]


class Table:
    """A reader, for the checks and for priors.py."""

    def __init__(self, data):
        assert data[:8] == MAGIC
        self.dates = struct.unpack_from("<3I", data, 8)
        counts = struct.unpack_from("<5I", data, 20)
        at = 40

        def take(form, count):
            nonlocal at
            values = struct.unpack_from(f"<{count}{form}", data, at)
            at += struct.calcsize(f"<{count}{form}")
            return values

        def ids(count):
            nonlocal at
            values = [int.from_bytes(data[at + 3 * i:at + 3 * i + 3], "little") for i in range(count)]
            at += 3 * count
            return values

        self.records = []
        for _ in range(counts[0]):
            asn, country, kind = struct.unpack_from("<I2sB", data, at)
            self.records.append((None if country == b"\0\0" else country.decode(), asn or None, KINDS[kind]))
            at += 7
        self.index, self.low4, self.id4 = take("I", (1 << 16) + 1), take("H", counts[1]), ids(counts[1])
        self.keys, self.offsets = take("I", counts[2]), take("I", counts[2] + 1)
        self.low6, self.id6 = take("H", counts[3]), ids(counts[3])
        self.starts, self.ends, self.kinds = take("Q", counts[4]), take("Q", counts[4]), take("B", counts[4])
        assert at == len(data)

    def get(self, address):
        """(country, asn, kind) of an address."""
        value = int(address)
        if address.version == 4:
            first, last = self.index[value >> 16], self.index[(value >> 16) + 1]
            return self.records[self.id4[bisect_right(self.low4, value & 0xFFFF, first, last) - 1]]
        network = value >> 80
        bucket = bisect_right(self.keys, network >> 16) - 1
        held = (None, None, None)
        if bucket >= 0:
            first, last = self.offsets[bucket], self.offsets[bucket + 1]
            low = network & 0xFFFF if self.keys[bucket] == network >> 16 else 0xFFFF
            held = self.records[self.id6[bisect_right(self.low6, low, first, last) - 1]]
        host = bisect_right(self.starts, value >> 64) - 1
        if host >= 0 and self.ends[host] >= value >> 64:
            held = (*held[:2], KINDS[self.kinds[host]])
        return held

    def v4_ranges(self):
        """Yields (start, end, record) for priors.py."""
        edges = [(bucket << 16 | self.low4[i], self.id4[i]) for bucket in range(1 << 16)
                 for i in range(self.index[bucket], self.index[bucket + 1])]
        for (start, held), (end, _) in zip(edges, [*edges[1:], (1 << 32, 0)]):
            yield start, end - 1, self.records[held]
