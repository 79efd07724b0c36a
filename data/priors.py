#!/usr/bin/env python3
"""Writes priors.csv: base rates for an operator without a log, from the bundled networks.

Half of a country's share is the square root of its home addresses (IPv4, without hosting), half is equal for all.
Large countries are somewhat more likely than small ones, and no user's country is a disadvantage.
Phones and computers have equal shares (an estimate). Providers, systems and browsers are omitted: without a
table, `share_..` of weights.csv applies. `riskgate replay --learn` replaces all of it with measured values.
"""
import collections
import math
import pathlib

from table import Table

DATA = pathlib.Path(__file__).parent
DEVICES = {"mobile": 0.5, "desktop": 0.46, "tablet": 0.03, "unknown": 0.009, "bot": 0.001}


def main() -> None:
    homes = collections.Counter()
    for start, end, (country, _, kind) in Table((DATA / "networks.bin").read_bytes()).v4_ranges():
        if country and not kind:
            homes[country] += end - start + 1
    codes = [line.split(",")[0] for line in (DATA / "countries.csv").read_text().splitlines()[1:]]
    roots = {code: math.sqrt(homes.get(code, 0)) for code in codes}
    total = sum(roots.values())
    with open(DATA / "priors.csv", "w", encoding="utf-8") as out:
        out.write("level,first,second,third,legit,attack\n")
        for code in codes:
            out.write(f"country,{code},,,{round(50_000 * roots[code] / total + 50_000 / len(codes))},0\n")
        for kind, share in DEVICES.items():
            out.write(f"device_type,{kind},,,{round(100_000 * share)},0\n")


if __name__ == "__main__":
    main()
