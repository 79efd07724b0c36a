"""The binary as trigger and session function between a fake session API, a queue and a store, for the scenarios of verified sessions."""

import collections
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import events
from sessions_api import Function, World

BINARY, STORE, DIRECTORY = sys.argv[1:4]
POOL, CLIENT = "us-east-1_e2e", "web-client"
HOME, NEARBY, ABROAD, SERVER, HOME_V6 = "84.208.20.110", "84.208.99.1", "14.162.100.3", "5.9.10.20", "2a01:79c::1"
# iCloud Private Relay, in another country and AS than HOME.
RELAY = "172.224.226.1"
VARIABLES = {
    "STORE": STORE, "PSEUDONYM_KEY": "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "STORE_TIMEOUT": "2s", "BUDGET": "2900ms", "SESSION_DELAY": "10s", "SESSION_ON_DENY": "revoke",
    "SESSION_CALLS": "1000", "SESSION_RECHECK": "1s", "REVIEW_AT": "40", "DENY_AT": "60",
}


def proved(text):
    print(f"  proved: {text}", flush=True)


class Bench:
    def __init__(self, name="function", **others):
        self.world = World()
        chosen = {name: value.replace("{port}", str(self.world.port)) for name, value in (VARIABLES | others).items() if value is not None}
        variables = {f"RISKGATE_{name}": value for name, value in chosen.items()} | {"RISKGATE_SESSION_QUEUE": f"http://127.0.0.1:{self.world.port}/1/sessions"}
        self.variables = variables
        self.functions = [Function(self.world, BINARY, variables, f"{DIRECTORY}/{name}-{number}.log") for number in range(2)]

    def trigger(self, event):
        kind, answer = self.world.invoke(event)
        assert kind == "response", answer
        return answer

    def sign_in(self, user, claim, client=CLIENT):
        """A sign-in through the API with the right password."""
        self.trigger(events.pre_authentication(user, ip=claim, client=client))
        self.trigger(events.post_authentication(user, client=client))

    def managed(self, user, client="managed"):
        self.trigger(events.pre_authentication(user, client=client))
        self.trigger(events.token_generation(user, source="HostedAuth", client=client))

    def refresh(self, user, ip, client=CLIENT):
        self.world.touch(user, ip)
        self.trigger(events.token_generation(user, source="RefreshTokens", client=client))

    def deliver(self, until=None, seconds=60, batch=10):
        """Delivers messages until none is left."""
        end = time.time() + seconds
        while time.time() < end and self.world.queue and not (until and until()):
            messages = self.world.take(batch)
            if not messages:
                time.sleep(0.05)
                continue
            self.deliver_batch(messages)
        assert not self.world.queue or until, f"{len(self.world.queue)} messages are left"

    def deliver_batch(self, messages, seconds=20.0):
        event = {"Records": [{"messageId": message["id"], "eventSource": "aws:sqs", "body": message["body"], "attributes": {}} for message in messages]}
        result = self.world.invoke(event, seconds)
        failed = {message["id"] for message in messages}
        if result and result[0] == "response":
            failed = {entry["itemIdentifier"] for entry in result[1]["batchItemFailures"]}
        for message in messages:
            if message["id"] in failed:
                self.world.give_back(message, 1)

    def lines(self):
        for function in self.functions:
            with open(function.log) as log:
                for line in log:
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue

    def judged(self):
        """The second audit lines."""
        return [line for line in self.lines() if line.get("trigger") == "session"]

    def counts(self):
        counts = collections.Counter()
        for line in self.lines():
            if "riskgate_sessions_total" in line:
                counts[line["result"]] += line["riskgate_sessions_total"]
        return counts

    def gained(self, act):
        """What `act` and the messages after it add to the counts and to the audit lines."""
        before, known = self.counts(), {line["id"] for line in self.judged()}
        act()
        self.deliver()
        time.sleep(0.2)
        return self.counts() - before, [line for line in self.judged() if line["id"] not in known]

    def history(self, user):
        command = [BINARY, "history", "export", "--pool", POOL, "--sub", f"sub-{user}"]
        environment = {**os.environ, **{name: value for name, value in self.variables.items() if name in ("RISKGATE_STORE", "RISKGATE_PSEUDONYM_KEY")}}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["records"][0]


def codes(line):
    return [reason["code"] for reason in line["reasons"]]


def until(what, holds, seconds=60):
    end = time.time() + seconds
    while not holds():
        assert time.time() < end, what
        time.sleep(0.2)


class Sidecar:
    """A sidecar with the same store and the same user pool."""

    def __init__(self, bench, log, **variables):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {**os.environ, **bench.variables, "RISKGATE_LISTEN": f"127.0.0.1:{self.port}", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{bench.world.port}"}
        environment |= {f"RISKGATE_{name}": value for name, value in variables.items()}
        self.process = subprocess.Popen([BINARY, "serve"], stdout=log, stderr=log, env=environment)
        until("the sidecar answers", self.answers, 20)

    def answers(self):
        try:
            return self.call("/readyz")
        except OSError:
            return None

    def call(self, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
