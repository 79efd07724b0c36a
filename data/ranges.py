"""Operations on sorted ranges of (start, end, value), both ends included."""

import ipaddress
from bisect import bisect_right


class Lookup:
    """Disjoint sorted rows of (start, end, value)."""

    def __init__(self, rows):
        self.rows, self.starts = rows, [start for start, _, _ in rows]

    def get(self, position):
        """The value at a position, or None."""
        at = bisect_right(self.starts, position) - 1
        return self.rows[at][2] if at >= 0 and self.rows[at][1] >= position else None

    def parts(self, start, end):
        """Yields (start, end, value or None) for each part of a range."""
        at = max(bisect_right(self.starts, start) - 1, 0)
        while start <= end:
            while at < len(self.rows) and self.rows[at][1] < start:
                at += 1
            if at == len(self.rows) or self.rows[at][0] > end:
                yield start, end, None
                return
            first, last, value = self.rows[at]
            if first > start:
                yield start, first - 1, None
                start = first
            yield start, min(end, last), value
            start = last + 1


def ranked(rows):
    """Disjoint rows of (start, end, kind). Where kinds overlap, the more specific one wins."""
    layers = [[(s, e, kind) for s, e, kind in rows if kind == wanted] for wanted in ("tor", "vpn", "relay", "hosting")]
    merged = [list(union(layer)) for layer in layers]
    return [(s, e, next(kind for kind in held if kind)) for s, e, held in sweep(merged)]


def union(rows):
    """Overlapping and adjacent ranges of one kind, joined."""
    last = None
    for start, end, kind in sorted(rows):
        if last and start <= last[1] + 1:
            last = (last[0], max(last[1], end), kind)
            continue
        if last:
            yield last
        last = (start, end, kind)
    if last:
        yield last


def sweep(layers):
    """Disjoint sorted (start, end, (value of each layer)) with equal neighbours joined."""
    events = []
    for index, layer in enumerate(layers):
        for start, end, value in layer:
            events.append((start, 1, index, value))
            events.append((end + 1, 0, index, None))
    events.sort(key=lambda event: event[:2])
    now, at, out = [None] * len(layers), 0, []
    for position, _, index, value in events:
        if position > at:
            if any(now):
                out.append((at, position - 1, tuple(now)))
            at = position
        now[index] = value
    return joined(out)


def joined(rows):
    """Adjacent rows with equal values as one, and rows without any value left out."""
    out = []
    for start, end, held in rows:
        if not any(held):
            continue
        if out and out[-1][1] == start - 1 and out[-1][2] == held:
            out[-1] = (out[-1][0], end, held)
        else:
            out.append((start, end, held))
    return out


def without(rows, networks, unit_bits):
    """The rows without the given networks, whose addresses are counted in units of `unit_bits` bits."""
    special = []
    for network in map(ipaddress.ip_network, networks):
        first, last = int(network.network_address), int(network.broadcast_address)
        special.append((first >> unit_bits, last >> unit_bits, True))
    return [(s, e, held) for s, e, (held, hidden) in sweep([rows, special]) if held and not hidden]
