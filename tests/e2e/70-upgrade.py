"""Upgrades, step by step.

record FILE fills Redis through the sidecar and stores its dump, check FILE reads such a dump. learn DEVICE and known DEVICE are the two halves of
a test with two versions: what SIDECAR learned of a user, and what it knows of her. verify judges a session of hers with RISKGATE on STORE, which marks
its network as verified; marks prints how many values are marked.
"""

import base64
import datetime
import json
import os
import subprocess
import sys
import urllib.request

import events
from sessions_api import Function, World

SIDECAR, PORT = os.environ.get("SIDECAR"), os.environ.get("REDIS_PORT")
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


def sign_in_daily(context, days, last_days_ago):
    """A success on each of so many days, the latest so many days ago. Returns the time of the latest."""
    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(days=last_days_ago + days)
    for _ in range(days):
        at += datetime.timedelta(days=1)
        verdict = assess(context, at)
        post("/v1/outcome", {"id": verdict["id"], "outcome": "success"})
    return at


def learn(device, last_days_ago):
    sign_in_daily({**HOME, "deviceId": device}, 6, int(last_days_ago))


def known(devices, last_days_ago):
    """Each device is familiar at home, and a stranger's sign-in from far away scores higher."""
    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(days=int(last_days_ago), hours=-1 if int(last_days_ago) else 0)
    away = assess(AWAY, at)
    for device in devices.split(","):
        home = assess({**HOME, "deviceId": device}, at)
        assert home["evidence"]["history"] == "fresh", home["evidence"]
        assert not codes(home) & {"cold_start", "new_device"}, home
        assert away["score"] > home["score"], (away["score"], home["score"])
    assert codes(away) & {"new_country", "impossible_travel"}, away


def store_variables():
    return {"RISKGATE_STORE": os.environ["STORE"], "RISKGATE_PSEUDONYM_KEY": os.environ["KEY"], "RISKGATE_STORE_TIMEOUT": "1s"}


def verify(log):
    """A sign-in whose address the user pool saw too."""
    world = World()
    variables = {"RISKGATE_SESSION_QUEUE": f"http://127.0.0.1:{world.port}/1/sessions", "RISKGATE_BUDGET": "2900ms"}
    function = Function(world, os.environ["RISKGATE"], store_variables() | variables, log)
    try:
        about = {"user": ADA["user"], "client": "app", "pool": ADA["pool"]}
        for event in events.pre_authentication(**about, **HOME), events.post_authentication(**about):
            event["request"]["userAttributes"]["sub"] = ADA["user"]
            kind, answer = world.invoke(event)
            assert kind == "response", answer
        world.session(ADA["user"], "app", HOME["ip"])
        [message] = world.queue
        kind, answer = world.invoke({"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": message["body"], "attributes": {}}]})
        assert kind == "response" and answer == {"batchItemFailures": []}, answer
    finally:
        function.kill()


def export():
    command = [os.environ["RISKGATE"], "history", "export", "--pool", ADA["pool"], "--sub", ADA["user"]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **store_variables()})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["records"][0]


def marks(successes):
    """Prints how many values are verified, after this many successes."""
    record = export()
    assert record["successes"] == int(successes), record["successes"]
    print(sum(value["verified"] for value in record["values"]))


def record(path):
    at = sign_in_daily(HOME, 12, 2)
    keys = redis("--scan").decode().split()
    saved = {name: base64.b64encode(redis("dump", name)[:-1]).decode() for name in sorted(keys) if name.startswith("u#") or "u#" in name}
    assert saved, f"no person's record among {keys}"
    with open(path, "w") as file:
        json.dump({"last": at.isoformat(), "keys": saved}, file, indent=1)
    print(f"  {len(saved)} of {len(keys)} keys saved in {path}")


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


{"record": record, "check": check, "learn": learn, "known": known, "verify": verify, "marks": marks}[sys.argv[1]](*sys.argv[2:])
