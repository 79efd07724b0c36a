"""Sends sign-ins to the sidecar, then queries Prometheus for their number."""

import json
import os
import time
import urllib.parse
import urllib.request

SIDECAR, PROMETHEUS = os.environ["SIDECAR"], os.environ["PROMETHEUS"]


def assess(**sign_in):
    request = urllib.request.Request(f"{SIDECAR}/v1/assess", json.dumps(sign_in).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def query(promql):
    url = f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def until(promql, wanted, seconds=30):
    end = time.monotonic() + seconds
    while (got := query(promql)) != wanted:
        assert time.monotonic() < end, f"{promql}: wanted {wanted}, got {got}"
        time.sleep(0.5)


# Every series is zero before the first sign-in.
until('sum(riskgate_decisions_total)', 0)
for i in range(40):
    assert assess(user=f"user-{i}", ip="2.26.53.1")["decision"] != "deny"
for i in range(7):
    assert assess(user=f"user-{i}", ip="81.2.69.142")["decision"] == "deny"
until('sum(riskgate_decisions_total{decision="deny"})', 7)
until('sum(riskgate_decisions_total)', 47)
until('sum(riskgate_context_total{state="trusted"})', 47)
until('sum(riskgate_assessment_duration_seconds_count)', 47)
p99 = query('histogram_quantile(0.99, sum by (le) (riskgate_assessment_duration_seconds_bucket))')
assert 0 < p99 < 2.5, p99
print(f"  47 sign-ins, 7 denied; p99 {1000 * p99:.1f} ms by the histogram")
