"""Runs every query of the dashboard and every rule against a Prometheus that scrapes the demo."""

import json
import os
import re
import sys
import time
import urllib.parse
import urllib.request

PROMETHEUS = os.environ["PROMETHEUS"]


def get(path, **parameters):
    with urllib.request.urlopen(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def has_data(promql):
    return bool(get("query", query=promql)["result"])


dashboard = json.load(open(sys.argv[1], encoding="utf-8"))
queries = {}
for panel in dashboard["panels"]:
    for target in panel["targets"]:
        expr = target["expr"].replace("$__rate_interval", "20s").replace("$__range", "1m")
        queries[f'{panel["title"]}: {expr}'] = expr
rules = open(sys.argv[2], encoding="utf-8").read()
for name in re.findall(r"record: (\S+)", rules):
    queries[f"rule {name}"] = name
# An alert that does not fire has no result, so the metrics in its expression are queried.
for name in sorted(set(re.findall(r"\briskgate[_:][a-z0-9_:]+", rules))):
    queries.setdefault(f"rules use {name}", name)

end = time.monotonic() + 90
left = dict(queries)
while left and time.monotonic() < end:
    left = {name: expr for name, expr in left.items() if not has_data(expr)}
    time.sleep(1)
assert not left, "no data for:\n" + "\n".join(left)
for group in get("rules")["groups"]:
    for rule in group["rules"]:
        assert rule["health"] == "ok", (rule["name"], rule.get("lastError"))
# The show has an outage: the breaker opens and sign-ins are decided without the service.
end = time.monotonic() + 60
while not has_data("max_over_time(riskgate_breaker_state[2m]) == 2") or not has_data("sum(riskgate_degraded_total) > 0"):
    assert time.monotonic() < end, "the demo's outage is not seen"
    time.sleep(1)
print(f"  {len(queries)} queries of panels and rules have data; the outage shows as an open breaker and degraded sign-ins")
