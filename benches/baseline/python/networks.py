"""Writes the bundled network data as an mmdb, which the libraries of the baselines read: networks.py FILE."""

import ipaddress
import pathlib
import sys

from mmdb_writer import MMDBWriter
from netaddr import IPSet

DATA = pathlib.Path(__file__).resolve().parents[3] / "data"
sys.path.insert(0, str(DATA))

from table import Table  # noqa: E402

writer = MMDBWriter(6, ipv4_compatible=True, database_type="riskgate-networks", int_type="u32")
by_record = {}
for start, end, record in Table((DATA / "networks.bin").read_bytes()).v4_ranges():
    held = {name: value for name, value in zip(("country", "asn", "kind"), record) if value}
    if held:
        first, last = ipaddress.IPv4Address(start), ipaddress.IPv4Address(end)
        networks = by_record.setdefault(record, (held, []))[1]
        networks.extend(str(network) for network in ipaddress.summarize_address_range(first, last))
for held, networks in by_record.values():
    writer.insert_network(IPSet(networks), held)
writer.to_db_file(sys.argv[1])
