"""Prints the tables of benches/attacks from the reports of `riskgate replay`."""

import json
import sys
from datetime import datetime
from pathlib import Path
from statistics import median

work, seeds = Path(sys.argv[1]), sys.argv[2:]
# Calm months are counted from the end of the learning period until the log has few sign-ins left.
LEARNED, END = 3, 365


def report(kind, seed):
    return json.loads((work / f"{kind}-{seed}.json").read_text())


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def share(value):
    return f"{100 * value:.1f} %"


sizes = [(hours, attempts) for hours in (1, 6, 24) for attempts in (1_000, 10_000, 50_000)]
found = {size: [] for size in sizes}
for seed in seeds:
    campaigns = report("with", seed)["attacks"]["campaigns"]
    assert len(campaigns) == len(sizes), f"{len(campaigns)} campaigns in the log of seed {seed}"
    for size, campaign in zip(sizes, campaigns):
        found[size].append(campaign["detected_after"])

print("| attempts | over | detected | median time to detection | part of the campaign |")
print("|---|---|---|---|---|")
for (hours, attempts), times in found.items():
    known = [time for time in times if time is not None]
    middle = median(known) if known else None
    cells = (f"{middle / 60:.1f} min", share(middle / hours / 3600)) if known else ("-", "-")
    print(f"| {attempts:,} | {hours} h | {len(known)} of {len(times)} | {cells[0]} | {cells[1]} |")
parts = [time / hours / 3600 for (hours, _), times in found.items() for time in times if time is not None]
print(f"\nMedian of all: {share(median(parts))} of the campaign." if parts else "\nNothing was detected.")

start = at("2020-02-03T00:00:00Z")
alarms, months, surges = [], 0.0, {}
for seed in seeds:
    attacks = report("calm", seed)["attacks"]
    days = [(at(period["since"]) - start).days for period in attacks["periods"]]
    alarms += [day for day in days if LEARNED <= day < END]
    months += (END - LEARNED) / 30
    for kind, attempts in attacks["surges"].items():
        surges[kind] = surges.get(kind, 0) + attempts
print(f"\nFalse alarms: {len(alarms)} in {months:.0f} calm pool-months, {20 * len(alarms) / months:.1f} in 20, with attempts of surges: "
      + ", ".join(f"{kind} {attempts:,}" for kind, attempts in sorted(surges.items())) + ".")

print("\n| attacker | history | missed at 1 % false positives, without | with `attack_wave` | fewer | AUC without | with |")
print("|---|---|---|---|---|---|---|")
for key, name in (("separation", "yes"), ("cold_start", "no")):
    labels = [row["label"] for row in report("with", seeds[0])[key]]
    for label in labels:
        def mean(kind, value):
            rows = [row for seed in seeds for row in report(kind, seed)[key] if row["label"] == label]
            return sum(value(row) for row in rows) / len(rows)
        missed = [mean(kind, lambda row: 1 - row["tpr"][0]) for kind in ("without", "with")]
        auc = [mean(kind, lambda row: row["auc"]) for kind in ("without", "with")]
        fewer = share(1 - missed[1] / missed[0]) if missed[0] else "-"
        print(f"| {label} | {name} | {share(missed[0])} | {share(missed[1])} | {fewer} | {auc[0]:.4f} | {auc[1]:.4f} |")
