"""Fills a store through the sidecar and keeps it (record FILE), or reads a kept one (check FILE)."""

import base64
import datetime
import json
import os
import subprocess
import sys
import urllib.request

SIDECAR, PORT = os.environ["SIDECAR"], os.environ["REDIS_PORT"]
ADA = {"user": "ada", "pool": "eu-west-1_upgrade", "client": "web"}
HOME = {
    "ip": "81.2.69.142", "deviceId": "device-of-ada", "timezone": "Europe/London",
    "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
}
AWAY = {"ip": "177.54.144.1", "deviceId": "device-of-nobody", "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


def post(path, body):
    request = urllib.request.Request(f"{SIDECAR}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or b"null")


def assess(context, at):
    return post("/v1/assess", {**ADA, **context, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")})


def redis(*command, value=None):
    """One command; `value` becomes its last argument, as bytes."""
    last = [] if value is None else ["-x"]
    return subprocess.run(["redis-cli", "-p", PORT, *last, *command], input=value, capture_output=True, check=True).stdout


def codes(verdict):
    return {reason["code"] for reason in verdict["reasons"]}


def record(path):
    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(days=14)
    for _ in range(12):
        at += datetime.timedelta(days=1)
        verdict = assess(HOME, at)
        post("/v1/outcome", {"id": verdict["id"], "outcome": "success"})
    keys = redis("--scan").decode().split()
    kept = {name: base64.b64encode(redis("dump", name)[:-1]).decode() for name in sorted(keys) if name.startswith("u#") or "u#" in name}
    assert kept, f"no person's record among {keys}"
    with open(path, "w") as file:
        json.dump({"last": at.isoformat(), "keys": kept}, file, indent=1)
    print(f"  {len(kept)} of {len(keys)} keys kept in {path}")


def check(path):
    with open(path) as file:
        fixture = json.load(file)
    at = datetime.datetime.fromisoformat(fixture["last"]) + datetime.timedelta(days=1)
    stranger = assess(AWAY, at)
    assert "cold_start" in codes(stranger), stranger
    for name, dump in fixture["keys"].items():
        # A sign-in above has left a record already; 0 is no expiry.
        answer = subprocess.run(["redis-cli", "-p", PORT, "-x", "restore", name, "0"], input=base64.b64decode(dump), capture_output=True).stdout
        if not answer.startswith(b"OK"):
            redis("del", name)
            answer = redis("restore", name, "0", value=base64.b64decode(dump))
        assert answer.startswith(b"OK"), answer
    home, away = assess(HOME, at), assess(AWAY, at + datetime.timedelta(minutes=5))
    print(f"  at home {home['score']}, far away {away['score']}; far away without the record {stranger['score']}")
    assert home["evidence"]["history"] == away["evidence"]["history"] == "fresh", (home["evidence"], away["evidence"])
    assert "cold_start" not in codes(home), home
    assert away["score"] > home["score"] and codes(away) & {"new_country", "impossible_travel"}, away
    post("/v1/outcome", {"id": home["id"], "outcome": "success"})


{"record": record, "check": check}[sys.argv[1]](sys.argv[2])
