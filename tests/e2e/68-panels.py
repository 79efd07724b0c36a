"""Sends sign-ins to riskgate until Prometheus has data for the panels of the dashboard: 68-panels.py DASHBOARD.

Panels of risk services have none: the composition calls no service.
"""

import json
import os
import sys
import time
import urllib.parse
import urllib.request

# What only a risk service or a fault writes. 45-panels sees each of them filled.
WITHOUT_DATA = ("riskgate_provider_", "riskgate_cache_", "riskgate_breaker_", "riskgate_degraded_", "riskgate_store_errors", "riskgate_shed", "riskgate_audit")
# Rates of false positives are stated once enough users have signed in.
WITHOUT_DATA += ("riskgate_false_positive_rate",)


def assess(number):
    body = json.dumps({"user": f"user-{number % 7}", "ip": f"8.8.{number % 200}.8"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{os.environ['SIDECAR']}/v1/assess", body, headers), timeout=10) as answer:
        return json.load(answer)


def has_data(promql):
    url = f"{os.environ['PROMETHEUS']}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bool(json.load(answer)["data"]["result"])


queries = {}
for panel in json.load(open(sys.argv[1], encoding="utf-8"))["panels"]:
    for target in panel["targets"]:
        if not any(name in target["expr"] for name in WITHOUT_DATA):
            queries[f"{panel['title']}: {target['expr']}"] = target["expr"].replace("$__rate_interval", "20s").replace("$__range", "1m").replace("[5m]", "[20s]")
left, end, number = dict(queries), time.monotonic() + 90, 0
while left and time.monotonic() < end:
    for _ in range(10):
        number += 1
        assess(number)
    left = {name: promql for name, promql in left.items() if not has_data(promql)}
    time.sleep(0.5)
assert not left, "no data for:\n" + "\n".join(left)
print(f"  {len(queries)} queries of the dashboard have data")
