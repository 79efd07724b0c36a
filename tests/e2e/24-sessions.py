"""Verified sessions end to end: 24-sessions.py BINARY STORE DIRECTORY SESSIONS"""

import collections
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import threading
import time

import boto3
from botocore.config import Config

import events
from sessions_api import Function, World, problems, MODEL

BINARY, STORE, DIRECTORY, LOAD = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
POOL, CLIENT = "us-east-1_e2e", "web-client"
HOME, NEARBY, ABROAD, SERVER, HOME_V6 = "84.208.20.110", "84.208.99.1", "14.162.100.3", "5.9.10.20", "2a01:79c::1"
VARIABLES = {
    "STORE": STORE, "PSEUDONYM_KEY": "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "STORE_TIMEOUT": "2s", "BUDGET": "2900ms", "SESSION_DELAY": "10s", "SESSION_ON_DENY": "revoke",
    "SESSION_CALLS": "1000", "REVIEW_AT": "40", "DENY_AT": "60",
}


def proved(text):
    print(f"  proved: {text}", flush=True)


class Bench:
    def __init__(self):
        self.world = World()
        variables = {f"RISKGATE_{name}": value for name, value in VARIABLES.items()} | {"RISKGATE_SESSION_QUEUE": f"http://127.0.0.1:{self.world.port}/1/sessions"}
        self.variables = variables
        self.functions = [Function(self.world, BINARY, variables, f"{DIRECTORY}/function-{number}.log") for number in range(2)]

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


def the_fake_is_cognitos(bench):
    """A real boto3 client reads the sessions, page by page, and the raw answers keep to the model."""
    world = bench.world
    client = boto3.client("cognito-idp", endpoint_url=f"http://127.0.0.1:{world.port}", config=Config(retries={"total_max_attempts": 1}))
    for number in range(5):
        world.session("fake", CLIENT, HOME if number else None, LastLocation=None, DeviceType=None)
    first = client.admin_list_user_sessions(UserPoolId=POOL, Username="fake")
    rest = client.admin_list_user_sessions(UserPoolId=POOL, Username="fake", NextToken=first["NextToken"])
    assert [len(first["Sessions"]), len(rest["Sessions"])] == [2, 2] and first["Sessions"][0]["CreateDate"].year > 2020
    client.admin_revoke_user_session(UserPoolId=POOL, Username="fake", SessionId=first["Sessions"][0]["SessionId"], RevokeAssociatedSessions="LINKED")
    try:
        client.admin_list_user_sessions(UserPoolId=POOL, Username="nobody")
        raise AssertionError("an unknown user is listed")
    except client.exceptions.UserNotFoundException:
        pass
    shape = MODEL.operation_model("AdminListUserSessions").output_shape
    for bad in ({"SessionId": "tkn"}, {"SessionType": "OTHER"}, {"CreateDate": "2026-11-28"}, {"New": 1}):
        assert list(problems({"Sessions": [bad]}, shape)), bad
    world.sessions.pop("fake"), world.revoked.clear()
    proved("the fake session API answers boto3, and its raw answers keep to botocore's model")


def honest(bench):
    def act():
        for number in range(25):
            bench.sign_in(f"honest-{number}", HOME.replace("20.110", f"{number + 1}.7"))
            bench.world.session(f"honest-{number}", CLIENT, HOME.replace("20.110", f"{number + 1}.7"), late=1.5 if number == 0 else 0)
    counts, lines = bench.gained(act)
    assert counts["queued"] == counts["confirmed"] == 25, counts
    assert all(line["context"] == "verified" and line["session"] == "confirmed" for line in lines), lines
    first = [line for line in bench.lines() if line.get("trigger") == "pre_authentication"]
    assert {line["id"] for line in lines} <= {line["id"] for line in first} and {line["user"] for line in lines} <= {line["user"] for line in first}
    assert bench.history("honest-0")["successes"] == 1
    assert not any("honest-" in body or "sub-" in body for body in bench.world.sent), "the queue names a user"
    proved("honest people are confirmed and learned, also if the session appears late; the queue shows no name")


def waits(bench):
    bench.sign_in("waiting", HOME)
    assert bench.history("waiting")["successes"] == 0
    bench.world.session("waiting", CLIENT, HOME)
    bench.deliver()
    assert bench.history("waiting")["successes"] == 1
    proved("a success is not part of the profile before its session is judged")


def liar(bench):
    for _ in range(3):
        bench.world.sessions.pop("victim", None)
        bench.sign_in("victim", HOME)
        bench.world.session("victim", CLIENT, HOME)
        bench.deliver()
    learned = bench.history("victim")["successes"]
    assert learned == 3, learned

    def act():
        bench.world.sessions.pop("victim", None)
        bench.sign_in("victim", HOME)
        parent = bench.world.session("victim", CLIENT, ABROAD, kind="SSO", after=-400)
        bench.world.session("victim", CLIENT, ABROAD, origin=parent)
    counts, [line] = bench.gained(act)
    assert counts["contradicted"] == 1 and counts["revoked"] == 1, (counts, line["score"], line["reasons"])
    assert "context_contradicted" in codes(line) and line["decision"] == "deny" and line["session"] == "revoked", line
    assert bench.world.sessions["victim"] == [] and len(bench.world.revoked) == 1, bench.world.sessions["victim"]
    assert bench.history("victim")["successes"] == learned
    proved("a liar who claims the victim's country is caught, revoked with the linked session, and not learned from")


def managed_login(bench):
    def sign_in(user, ip):
        bench.world.sessions.pop(user, None)
        bench.managed(user)
        browser = bench.world.session(user, "managed", ip, kind="SSO", after=-2)
        bench.world.session(user, "managed", SERVER, origin=browser)
    counts, lines = bench.gained(lambda: sign_in("managed-1", HOME))
    assert counts["confirmed"] == 1 and lines[0]["country"] == "NO", (counts, lines)
    # With a longer history a new country weighs more, so the decision does not depend on the hour.
    for _ in range(9):
        bench.gained(lambda: sign_in("managed-1", HOME))
    assert bench.history("managed-1")["successes"] == 10
    counts, [line] = bench.gained(lambda: sign_in("managed-1", ABROAD))
    assert counts["denied"] == 1 and line["country"] == "VN" and not bench.world.revoked[1:], (counts, line)
    assert bench.history("managed-1")["successes"] == 10
    proved("a managed-login user gets a history from the browser's session, and a thief is denied; no session of a client that is still new is revoked")


def not_punished(bench):
    def office():
        for number in range(20):
            bench.sign_in(f"office-{number}", NEARBY, client="office")
            bench.world.session(f"office-{number}", "office", NEARBY)
    counts, lines = bench.gained(office)
    assert counts["denied"] + counts["revoked"] + counts["contradicted"] == 0 and counts["confirmed"] + counts["shared_egress"] == 20 and counts["shared_egress"] >= 10, counts
    def dual_stack():
        bench.sign_in("dual", HOME)
        bench.world.session("dual", CLIENT, f"[{HOME_V6}]:443")
    counts, lines = bench.gained(dual_stack)
    assert counts["confirmed"] == 1 and counts["contradicted"] == 0, (counts, lines)
    proved("an office behind one address and a user with both address families are not punished")


def backend(bench):
    def act():
        for number in range(30):
            bench.sign_in(f"backend-{number}", HOME.replace("20.110", f"{number + 1}.8"), client="backend")
            bench.world.session(f"backend-{number}", "backend", SERVER)
    counts, _ = bench.gained(act)
    assert counts["revoked"] == 0 and counts["shared_egress"] >= 20, counts
    proved("a backend's address is not believed, and none of its users' sessions is revoked")


def teaches_nothing(bench):
    def pair():
        bench.sign_in("pair", HOME)
        bench.world.session("pair", CLIENT, ABROAD)
        bench.world.session("pair", CLIENT, HOME)
    counts, lines = bench.gained(pair)
    assert counts["ambiguous"] == 1 and not lines and bench.history("pair")["successes"] == 0, (counts, lines)
    def odd():
        for name, ip in (("odd-1", "unknown"), ("odd-2", None), ("odd-3", ""), ("odd-4", "10.0.0.1")):
            bench.sign_in(name, HOME)
            bench.world.session(name, CLIENT, ip)
        bench.sign_in("evicted", HOME)
        bench.world.session("evicted", "other", HOME)
    counts, lines = bench.gained(odd)
    assert counts["unmatched"] == 5 and not lines, counts
    def forgotten():
        bench.sign_in("gone", HOME)
        bench.world.session("gone", CLIENT, HOME)
        environment = {**os.environ, **{name: bench.variables[name] for name in ("RISKGATE_STORE", "RISKGATE_PSEUDONYM_KEY")}}
        done = subprocess.run([BINARY, "history", "forget", "--pool", POOL, "--sub", "sub-gone"], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    counts, lines = bench.gained(forgotten)
    assert counts["forgotten"] == 1 and not lines and bench.history("gone")["successes"] == 0, (counts, lines)
    proved("two sessions at once, no address, an evicted session and a forgotten user teach nothing")


def without_tracking(bench):
    world = bench.world
    for error, status in (("OperationNotEnabledException", 400), ("NotAuthorizedException", 400)):
        world.trouble = lambda operation: (status, {"__type": error, "message": "x"}) if operation.startswith("Admin") else None
        counts, lines = bench.gained(lambda: bench.sign_in("untracked", HOME))
        assert counts["not_allowed"] == 1 and not lines and not world.queue and not world.dead, counts
    problems_found = {bench.trigger({"riskgate": "check"})["sessions"]["problem"] for _ in range(20)}
    assert any(problem and "deploy/attach" in problem or problem and "allow cognito-idp" in problem for problem in problems_found), problems_found
    world.trouble = lambda operation: (500, {"__type": "InternalError"}) if operation == "SendMessage" else None
    before = bench.counts()
    bench.sign_in("unqueued", HOME)
    assert (bench.counts() - before)["queue_failed"] == 1
    world.trouble = lambda operation: None
    proved("without tracking, permission or queue the sign-in goes on, and the check and a metric say so")


def under_load(bench):
    world, chance = bench.world, random.Random(7)
    def trouble(operation):
        if not operation.startswith("Admin"):
            return None
        drawn = chance.random()
        if drawn < 0.05:
            return 400, {"__type": "TooManyRequestsException", "message": "slow down"}
        if drawn < 0.07:
            return 500, {"__type": "InternalErrorException", "message": "x"}
        if drawn < 0.072:
            time.sleep(4)
        return None
    bench.functions += [Function(world, BINARY, bench.variables, f"{DIRECTORY}/function-{number}.log") for number in range(2, 6)]
    before, known = bench.counts(), {line["id"] for line in bench.judged()}
    sent = len(world.sent)
    def enter(number):
        user = f"load-{number}"
        bench.sign_in(user, f"84.{208 + number % 7}.{number // 250 % 250}.{number % 250 + 1}", client=f"load-{number % 3}")
        if number % 10:
            world.session(user, f"load-{number % 3}", f"84.{208 + number % 7}.{number // 250 % 250}.{number % 250 + 1}", late=chance.random())
    world.trouble = trouble
    stop = threading.Event()
    def carry():
        while not stop.is_set():
            messages = world.take(10)
            if messages:
                bench.deliver_batch(messages, 15.0)
            else:
                time.sleep(0.02)
    carriers = [threading.Thread(target=carry, daemon=True) for _ in range(2)]
    [carrier.start() for carrier in carriers]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        entering = [pool.submit(enter, number) for number in range(LOAD)]
        killed = 0
        while not all(task.done() for task in entering) or killed < 3:
            time.sleep(max(1.0, LOAD / 1000))
            if killed < 3:
                # In the middle of whatever it does; its event is not answered and comes again.
                victim = bench.functions[3 + killed]
                victim.kill()
                victim.start()
                killed += 1
        [task.exception() for task in entering]
    end = time.time() + 240
    while time.time() < end:
        time.sleep(1)
        if not world.queue:
            time.sleep(18)
            if not world.queue:
                break
    stop.set()
    [carrier.join(20) for carrier in carriers]
    time.sleep(0.5)
    lines = [line for line in bench.judged() if line["id"] not in known]
    twice = [name for name, count in collections.Counter(line["id"] for line in lines).items() if count > 1]
    assert not twice, twice
    messages = {json.loads(body)["id"] for body in world.sent[sent:]}
    counts = bench.counts() - before
    ended = sum(counts[name] for name in ("confirmed", "denied", "revoked", "challenged", "unmatched", "skipped", "ambiguous", "shared_egress"))
    # A killed function loses the counts that it had not written; the audit lines are written at once.
    print(f"  {LOAD} sign-ins, {len(messages)} queued, {len(lines)} judged, {ended} ended, {len(world.dead)} dead letters: {dict(counts)}", flush=True)
    assert not world.dead and not world.queue, (world.dead[:3], len(world.queue))
    assert len(lines) >= 0.85 * len(messages) and len(messages) >= 0.97 * LOAD, (len(lines), len(messages))
    assert len(messages) - 60 <= ended <= len(messages), (ended, len(messages))
    world.trouble = lambda operation: None
    proved("under load, with throttling, errors, hangs and killed functions, each session is judged, unmatched or skipped, and none twice")


bench = Bench()
try:
    for scenario in (the_fake_is_cognitos, honest, waits, liar, managed_login, not_punished, backend, teaches_nothing, without_tracking, under_load):
        began = time.time()
        scenario(bench)
        print(f"  {scenario.__name__}: {time.time() - began:.0f} s", flush=True)
finally:
    for function in bench.functions:
        function.kill()
