"""Waits until the function and the sidecar judge an address as expected: ADDRESS allow|deny [live]."""

import itertools
import json
import os
import sys
import time
import urllib.request

import boto3

import events

address, wanted = sys.argv[1:3]
faces = ["live"] if "live" in sys.argv[3:] else ["live", "stream"]
names = (f"user-{time.time()}-{i}" for i in itertools.count())


def sidecar():
    request = urllib.request.Request(f"{os.environ['SIDECAR']}/v1/assess", json.dumps({"user": next(names), "ip": address}).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)["decision"]


def function():
    answer = boto3.client("lambda").invoke(FunctionName="riskgate", Payload=json.dumps(events.pre_authentication(next(names), ip=address)))
    return "deny" if answer.get("FunctionError") else "allow"


# A breaker that has opened takes its time to try again; deltas are fetched every ten seconds.
end = time.monotonic() + 45
for face, ask in (("live", function), ("stream", sidecar)):
    if face not in faces:
        continue
    began = time.monotonic()
    while (got := ask()) != wanted:
        assert time.monotonic() < end, f"{face}: {address} is {got}, not {wanted}"
        time.sleep(1.2)
    print(f"  {face}: {address} {wanted} after {time.monotonic() - began:.1f} s")
