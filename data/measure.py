"""Checks the sources against each other, and measures what the finished table finds and what it flags wrongly."""

import csv
import pathlib
from bisect import bisect_right

from ranges import Lookup, ranked

HERE = pathlib.Path(__file__).parent

# More addresses than this of the large access networks, in all, must not have a kind.
MAX_FALSE_ALARMS = 0.00005

# A feed whose addresses are in networks of other operators to more than this share is wrong about itself.
MAX_FOREIGN = 0.5

# The operators in whose networks the addresses of a feed are, where its provider has another name there.
ELSEWHERE = {
    "Amazonbot": "amazon", "PerplexityBot": "amazon", "Common Crawl": "amazon", "ClaudeBot": "amazon", "GitHub": "microsoft",
    "DuckDuckBot": "microsoft", "GPTBot": "microsoft", "Bingbot": "microsoft", "Microsoft Azure": "microsoft", "Vultr": "constant",
    "OVHcloud": "ovh", "Googlebot": "google", "IBM Cloud": "softlayer", "Linode": "linode", "Meta": "facebook", "Applebot": "apple",
}


def without_access(read):
    """The feeds without their ranges in access networks and in other operators' networks. A feed that is mostly there fails the build."""
    for family, asn_rows in (("v4", read.asn4), ("v6", read.asn6)):
        at = Lookup(asn_rows)
        for feed in (feed for feed in read.feeds if feed.kind == "hosting" and getattr(feed, family)):
            name = ELSEWHERE.get(feed.provider, feed.provider.split()[0].lower())
            total = foreign = 0
            remaining = []
            for start, end in getattr(feed, family):
                for s, e, asn in at.parts(start, end):
                    total += e - s + 1
                    is_own = any(name in text for text in read.names.get(asn, []))
                    if read.asn_kinds.get(asn) == "hosting" or asn is None or is_own and read.asn_kinds.get(asn) != "access":
                        remaining.append((s, e))
                    else:
                        foreign += e - s + 1
            if foreign / total > MAX_FOREIGN and (feed.provider, family) not in EXCUSED:
                raise SystemExit(f"{feed.provider}: {foreign / total:.0%} of its IP{family} addresses are in access networks or other operators' networks")
            if foreign:
                print(f"{feed.provider}: {foreign / total:.2%} of its IP{family} addresses are in access networks or other operators' networks and not used")
            setattr(feed, family, remaining)
    return read.feeds


# Feeds that are wrong in a known way. Scaleway's contains Iliad Italia, a mobile network of the same group.
EXCUSED = {("Scaleway", "v4"), ("Scaleway", "v6")}


def report(read, feeds, v4, v6, hosts):
    """Prints and writes the table of recall and false alarms to README.md. Too many false alarms fail the build."""
    lines = ["| kind | published by | addresses | found without these lists, as the same kind | as any kind |", "| --- | --- | --- | --- | --- |"]
    for family, rows_of, asn_rows, bits in (("IPv4", lambda f: f.v4, read.asn4, 0), ("IPv6", lambda f: f.v6, read.asn6, 64)):
        at = Lookup(asn_rows)
        for kind in ("hosting", "vpn", "tor", "relay"):
            others = Lookup(ranked([(s, e, feed.kind) for feed in feeds if feed.kind != kind for s, e in rows_of(feed)]))
            for feed in (feed for feed in feeds if feed.kind == kind and rows_of(feed)):
                total = same = any_kind = 0
                for start, end in rows_of(feed):
                    for s, e, asn in at.parts(start, end):
                        own = read.asn_kinds.get(asn)
                        for first, last, other in others.parts(s, e):
                            size = (last >> bits) - (first >> bits) + 1
                            found = other or (own if own != "access" else None)
                            total += size
                            same += size * (found == kind)
                            any_kind += size * (found is not None)
                unit = "" if family == "IPv4" else " /64"
                lines.append(f"| {kind} | {feed.provider}, {family} | {total:,}{unit} | {same / total:.1%} | {any_kind / total:.1%} |")
    with open(HERE / "access_networks.csv", newline="", encoding="utf-8") as rows:
        access = {int(row["asn"]): row["operator"] for row in csv.DictReader(rows)}
    for asn, operator in access.items():
        if not any(operator.lower() in text for text in read.names.get(asn, [])):
            raise SystemExit(f"access_networks.csv: AS{asn} is {read.names.get(asn)!r} now, not {operator!r}")
    total, flagged = {}, {}
    for start, end, (_, asn, kind) in v4:
        if asn in access:
            total[asn] = total.get(asn, 0) + end - start + 1
            flagged[asn] = flagged.get(asn, 0) + (end - start + 1) * (kind is not None)
    share = sum(flagged.values()) / sum(total.values())
    worst = max(total, key=lambda asn: flagged[asn] / total[asn])
    lines += ["", f"{len(total)} large access networks of all continents, {sum(total.values()):,} IPv4 addresses: {share:.4%} have a kind "
              f"(most in {access[worst]}, {flagged[worst] / total[worst]:.4%}). Of {len(read.names):,} AS numbers, "
              f"{sum(kind == 'hosting' for kind in read.asn_kinds.values()):,} are hosting and {sum(kind == 'vpn' for kind in read.asn_kinds.values()):,} vpn."]
    if share > MAX_FALSE_ALARMS:
        raise SystemExit("\n".join([*lines, f"more than {MAX_FALSE_ALARMS:.3%} of the access networks have a kind"]))
    print("\n".join(lines))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition("<!-- measured -->\n")
    _, _, after = rest.partition("<!-- end -->\n")
    if not after:
        raise SystemExit("README.md has no part between <!-- measured --> and <!-- end -->")
    readme.write_text(before + "<!-- measured -->\n" + "\n".join(lines) + "\n<!-- end -->\n" + after)
