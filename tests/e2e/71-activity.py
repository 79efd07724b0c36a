"""Writes a log of 100,000 audit lines, with an attack in it: 71-activity.py FILE"""

import datetime
import json
import random
import sys

DECISIONS = 100_000
END = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
random.seed(1)
reasons = ["tor", "hosting", "new_country", "new_device", "automation", "known_device", "usual_hour", "known_ip"]
with open(sys.argv[1], "w") as out:
    for number in range(DECISIONS):
        time = END - datetime.timedelta(seconds=(DECISIONS - number) * 0.8)
        attack = 60_000 < number < 66_000 and random.random() < 0.9
        decision = "deny" if attack else random.choices(["allow", "review", "deny"], [95, 4, 1])[0]
        user = f"u{random.randrange(40_000):015}" if attack else f"p{random.randrange(5_000):015}"
        out.write(json.dumps({
            "schema": 1, "time": time.isoformat().replace("+00:00", "Z"), "decision": decision, "decided_by": "thresholds", "id": f"{number:026}", "action": decision,
            "score": 92.5 if decision == "deny" else 4.2, "level": "high", "mode": "enforce", "log_odds": 1.5, "base": -5.4,
            "reasons": [{"code": code, "weight": round(random.uniform(-3, 3), 4), "detail": f"{random.randrange(999)} km"} for code in random.sample(reasons[:5] if attack else reasons, 5)],
            "evidence": {"history": "fresh", "ipqs": "hit"}, "degraded": None, "context": "signed", "elapsed_ms": 1.25, "model": "2026-11", "trigger": "pre_authentication",
            "pool": "eu-west-1_AbCdEf", "client": random.choice(["web", "ios", "android"]), "tenant": None, "user": user, "net": f"n{random.randrange(30 if attack else 20_000):015}",
            "country": random.choice(["DE", "NL", "US", "BR"]), "asn": 64500 + random.randrange(4) if attack else random.randrange(3000), "device": None if attack else f"d{user}",
            "took_ms": {"networks": 0.05, "history": 0.5, "evidence": 0.6, "judge": 0.1}, "tiers": {},
        }) + "\n")
