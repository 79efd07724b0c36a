"""A campaign with one attempt for each account and network, on a sidecar over Redis, while known users sign in: 55-campaign.py PORT REDIS_PORT"""

import json
import struct
import subprocess
import sys
import time
import urllib.request

PORT, REDIS = sys.argv[1:]
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
KNOWN, ATTEMPTS = 10, 200


def request(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=10) as answer:
        return answer.read().decode()


def redis(*args, given=None):
    command = ["redis-cli", "-p", REDIS, *(["-x"] if given is not None else []), *args]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout.decode()


def known(number, success=False):
    answer = json.loads(request("/v1/assess", {"user": f"known-{number}", "ip": f"84.208.20.{number + 1}", "userAgent": CHROME, "deviceId": f"device-{number}"}))
    if success:
        request("/v1/outcome", {"id": answer["id"], "outcome": "success"})
    return answer


def stranger(number):
    return json.loads(request("/v1/assess", {"user": f"leaked-{number}", "ip": f"14.162.{number}.7", "userAgent": FIREFOX, "deviceId": f"stolen-{number}"}))


def quiet_state(minute):
    """The stored form of a pool that was observed for five quiet days (crates/pool/src/codec.rs, version 1)."""
    sums, none, empty = struct.pack(">4f", 0, 0, 0, 0), 0xFFFFFFFF, struct.pack(">H", 0)
    chart = struct.pack(">fI7f", 0, none, 0, 0, 0, 0, 0, 0, 1.5)
    sketch = struct.pack(">IH", none, 0)
    episode = struct.pack(">4If", 0, 0, 0, 0, 0) + sketch + sketch + empty
    usual = struct.pack(">4f", 100, 1, 0, 7200)
    return bytes([1]) + struct.pack(">If", minute, 7200) + sums * 168 + usual + empty + chart * 3 + episode * 3


def detector():
    return json.loads(request("/v1/activity"))["detector"] or {"state": None}


for day in range(3):
    for number in range(KNOWN):
        assert known(number, success=True)["decision"] == "allow", "before the campaign"
end = time.monotonic() + 20
while not (keys := redis("--scan", "--pattern", "riskgate:w#p*").split()):
    assert time.monotonic() < end, "no counts are in Redis"
    time.sleep(0.2)
record = "riskgate:u#" + keys[0].split("#")[1]
redis("HSET", record, "w", given=quiet_state(int(time.time() // 60)))
end = time.monotonic() + 30
while detector()["state"] != "calm":
    assert time.monotonic() < end, detector()
    time.sleep(0.5)

began, slowest, refused, seen = time.monotonic(), 0.0, [], None
for number in range(ATTEMPTS):
    stranger(number)
    if number % 4 == 0:
        asked = time.monotonic()
        answer = known(number // 4 % KNOWN)
        slowest = max(slowest, time.monotonic() - asked)
        if answer["decision"] != "allow" or "attack_wave" in json.dumps(answer["reasons"]):
            refused.append(answer)
attempted = time.monotonic()
while detector()["state"] != "under_attack":
    assert time.monotonic() < attempted + 30, f"the campaign is not detected: {detector()}"
    number = (number + 1) % 250
    if known(number % KNOWN)["decision"] != "allow":
        refused.append(number)
    time.sleep(0.5)
seen = time.monotonic() - attempted
attack = detector()["attack"]
assert attack["kind"] == "credential_stuffing" and attack["attempts"] >= 150 and attack["accounts"] >= 150 and attack["networks"] >= 100, attack
assert "VN" in attack["sources"], attack
assert "\nriskgate_attack_state 2\n" in request("/metrics")
during = stranger(249)
assert "attack_wave" in [reason["code"] for reason in during["reasons"]], during
for number in range(KNOWN):
    answer = known(number, success=True)
    if answer["decision"] != "allow" or "attack_wave" in [reason["code"] for reason in answer["reasons"]]:
        refused.append(answer)
assert not refused, f"known users were affected: {refused[:2]}"
print(f"  {ATTEMPTS} attempts in {attempted - began:.1f} s, detected {seen:.1f} s after the last; the slowest known user waited {slowest * 1e3:.0f} ms")
