"""Prints the tables of benches/attacks from the reports of `riskgate replay`: attacks.py FOLDER USERS SEED.."""

import json
import sys
from datetime import datetime
from pathlib import Path
from statistics import median

work, users, seeds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
# Calm months are counted from the end of the learning period until the log has few sign-ins left.
LEARNED, END = 3, 365
HOURS = (1, 6, 24)
SIZES = {"botnet": (1_000, 10_000, 50_000), "spray": (1_000, 10_000, 50_000), "small": (30, 100, 300)}
# The contract: campaigns above this share of the normal traffic of their time.
SHARE = 0.03


def report(name, seed, kind="with"):
    return json.loads((work / f"{name}-{seed}.{kind}.json").read_text())


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def share(value):
    return f"{100 * value:,.1f} %"


def duration(seconds):
    return f"{seconds / 60:.1f} min"


def normal_per_hour(seed):
    """Sign-ins and wrong passwords of the users in the average hour of the year."""
    rows = report("botnet", seed)["rows"]
    return (rows["legitimate"] + rows["failed"]) / END / 24


normal = sum(normal_per_hour(seed) for seed in seeds) / len(seeds)
print(f"Of {users:,} users with {normal:,.0f} attempts in the average hour, seeds {', '.join(seeds)}:\n")
print("| campaign | attempts | over | of normal traffic | detected | median time to detection | part of the campaign |")
print("|---|---|---|---|---|---|---|")
large, parts, outside = [], [], 0
for name, sizes in SIZES.items():
    found = {(hours, attempts): [] for hours in HOURS for attempts in sizes}
    for seed in seeds:
        attacks = report(name, seed)["attacks"]
        campaigns = attacks["campaigns"]
        assert len(campaigns) == len(found), f"{len(campaigns)} campaigns in the log of {name}, seed {seed}"
        for size, campaign in zip(found, campaigns):
            found[size].append(campaign["detected_after"])
        outside += sum(period["is_false_alarm"] for period in attacks["periods"])
    for (hours, attempts), times in found.items():
        known = [time for time in times if time is not None]
        of_normal = attempts / hours / normal
        if name != "small":
            large += [time is not None for time in times] if of_normal > SHARE else []
            parts += [time / hours / 3600 for time in known]
        middle = median(known) if known else None
        cells = (duration(middle), share(middle / hours / 3600)) if known else ("-", "-")
        kind = "botnet" if name == "small" else name
        print(f"| {kind} | {attempts:,} | {hours} h | {share(of_normal)} | {len(known)} of {len(times)} | {cells[0]} | {cells[1]} |")
print(f"\nCampaigns of 1,000 to 50,000 attempts above {share(SHARE)} of normal traffic: {sum(large)} of {len(large)} detected.", end=" ")
print(f"Median time to detection: {share(median(parts))} of the campaign." if parts else "")

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
      + ", ".join(f"{kind} {attempts:,}" for kind, attempts in sorted(surges.items())) + f". Outside campaigns in the logs with campaigns: {outside}.")

print("\n| attacker | history | missed at 1 % false positives, without | with `attack_wave` | fewer | AUC without | with |")
print("|---|---|---|---|---|---|---|")
for key, history in (("separation", "yes"), ("cold_start", "no")):
    # The log of the spray has the same attackers as that of the botnet.
    labels = [("botnet", row["label"]) for row in report("botnet", seeds[0])[key] if row["label"] != "all labels"]
    labels.insert(1, ("spray", "spray"))
    for name, label in labels:
        def mean(kind, value):
            rows = [row for seed in seeds for row in report(name, seed, kind)[key] if row["label"] == label]
            return sum(value(row) for row in rows) / len(rows) if rows else float("nan")
        missed = [mean(kind, lambda row: 1 - row["tpr"][0]) for kind in ("without", "with")]
        auc = [mean(kind, lambda row: row["auc"]) for kind in ("without", "with")]
        fewer = share(1 - missed[1] / missed[0]) if missed[0] else "-"
        print(f"| {label} | {history} | {share(missed[0])} | {share(missed[1])} | {fewer} | {auc[0]:.4f} | {auc[1]:.4f} |")
