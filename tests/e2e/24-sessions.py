"""Verified sessions end to end: 24-sessions.py BINARY STORE DIRECTORY SESSIONS [SCENARIO..]"""

import collections
import concurrent.futures
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error

import boto3
from botocore.config import Config

import events
import sessions_edge_cases
from sessions_api import Function, Signer, problems, MODEL
from sessions_bench import ABROAD, BINARY, CLIENT, DIRECTORY, HOME, HOME_V6, NEARBY, POOL, RELAY, SERVER, Bench, Sidecar, codes, proved, until

# In the country of HOME.
OTHER_PROVIDER = "88.88.9.9"
LOAD, CHOSEN = int(sys.argv[4]), sys.argv[5:]


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
    history = bench.history("honest-0")
    verified = {value["level"] for value in history["values"] if value["verified"]}
    assert history["successes"] == 1 and verified == {"country", "asn", "network", "ip"}, history
    assert not any("honest-" in body or "sub-" in body for body in bench.world.sent), "the queue names a user"
    proved("honest people are confirmed and learned, with their network marked as verified, also if the session appears late; the queue shows no name")


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
    def relay(claim, seen):
        def act():
            bench.world.sessions.pop("relay", None)
            bench.sign_in("relay", claim)
            bench.world.session("relay", CLIENT, seen)
        counts, [line] = bench.gained(act)
        assert line["country"] == {HOME: "NO", RELAY: "GB"}[seen] and "context_contradicted" not in codes(line) and counts["contradicted"] == 0, (counts, line)
        assert counts["confirmed"] == 1, (counts, line["score"], line["reasons"])
    relay(HOME, HOME), relay(HOME, RELAY), relay(RELAY, HOME)
    proved("an office behind one address, a user with both address families and a user of iCloud Private Relay in another country are not punished")


def drift(bench):
    bench.sign_in("drift", HOME)
    bench.world.session("drift", CLIENT, HOME)
    bench.deliver()
    time.sleep(1.1)
    counts, lines = bench.gained(lambda: bench.refresh("drift", NEARBY))
    assert counts["queued"] == counts["rechecked"] == 1 and not lines, (counts, lines)
    time.sleep(1.1)
    counts, [line] = bench.gained(lambda: bench.refresh("drift", ABROAD))
    assert counts["moved"] == 1 and counts["rechecked"] == 0 and "session_moved" in codes(line) and line["decision"] in ("review", "deny"), (counts, line)
    assert bench.history("drift")["successes"] == 1, "a refresh is not a success"
    print(f"  a session that moved: score {line['score']}, {line['decision']}, session {line['session']}", flush=True)
    proved("at a token refresh from near by nothing happens; from another continent within seconds, the session has moved and is judged")


def twenty_at_once(bench):
    world, barrier = bench.world, threading.Barrier(20)
    def enter():
        for number in range(20):
            bench.sign_in(f"twenty-{number}", HOME.replace("20.110", f"{number + 1}.9"), client="twenty")
            world.session(f"twenty-{number}", "twenty", HOME.replace("20.110", f"{number + 1}.9"))
    before = bench.counts()
    enter()
    # Both calls wait until all twenty are in progress.
    def together(operation):
        if operation == "AdminListUserSessions":
            barrier.wait(2.5)
    time.sleep(1.2)
    first, second = world.take(10), world.take(10)
    assert (len(first), len(second)) == (10, 10), (len(first), len(second))
    world.trouble = together
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(bench.deliver_batch, (first, second)))
    world.trouble = lambda operation: None
    time.sleep(0.2)
    assert not barrier.broken and (bench.counts() - before)["confirmed"] == 20, (barrier.broken, bench.counts() - before)
    proved("two batches of ten are looked up at the same time: twenty calls were in progress at once")


def commands(bench):
    world = bench.world
    environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{world.port}"}
    def run(*arguments):
        return subprocess.run([BINARY, "sessions", *arguments, "--pool", POOL, "--name", "many"], capture_output=True, text=True, env=environment)
    # A page of the fake has two sessions, so these are more than four pages.
    ids = [world.session("many", CLIENT, HOME) for _ in range(11)]
    listed = run("list")
    assert [json.loads(line)["session"] for line in listed.stdout.splitlines()] == ids and not listed.stderr, listed
    failing = itertools.count()
    world.trouble = lambda operation: (500, {"__type": "InternalErrorException"}) if operation == "AdminRevokeUserSession" and next(failing) % 4 == 1 else None
    revoked = run("revoke", "--all")
    world.trouble = lambda operation: None
    assert revoked.returncode == 1 and len(revoked.stdout.splitlines()) + revoked.stderr.count("not revoked: ") == 11, revoked
    assert 0 < len(world.sessions["many"]) < 11 and "sessions were not revoked; repeat the command" in revoked.stderr, revoked
    assert run("revoke", "--all").returncode == 0 and not world.sessions["many"]
    world.revoked.clear()
    proved("`riskgate sessions` lists more than four pages, revokes what it can, says what it could not, and exits with 1 then")


def at_the_default_threshold():
    """The liar where DENY_AT and REVIEW_AT have their defaults: 80 and 50."""
    bench = Bench("default", DENY_AT=None, REVIEW_AT=None)
    try:
        for _ in range(5):
            bench.world.sessions.pop("steady", None)
            bench.sign_in("steady", HOME)
            bench.world.session("steady", CLIENT, HOME)
            bench.deliver()
        def act():
            bench.world.sessions.pop("steady", None)
            bench.sign_in("steady", HOME)
            bench.world.session("steady", CLIENT, ABROAD)
        counts, [line] = bench.gained(act)
        assert counts["contradicted"] == 1 and "context_contradicted" in codes(line) and line["decision"] != "allow", (counts, line)
        assert (counts["revoked"] == 1) == (line["score"] >= 80), (counts, line)
        print(f"  at the default thresholds a liar scores {line['score']}: {line['decision']}, session {line['session']}, {codes(line)}", flush=True)
        proved("at the default thresholds a liar is contradicted and at least flagged, and revoked only if the verified score itself reaches DENY_AT")
    finally:
        [function.kill() for function in bench.functions]


def challenged():
    """A session that is judged as one to challenge, up to the step-up that ends the restriction."""
    # The liar is with another provider of the same country, which is not enough to deny. No other scenario uses this address.
    home = HOME.replace("20.110", "250.7")
    step_up = {"STEP_UP_POOLS": f"http://127.0.0.1:{{port}}/{POOL}", "STEP_UP_CLIENTS": CLIENT, "WITHHOLD_GROUPS": "admins"}
    bench = Bench("challenge", REVIEW_AT="20", CHALLENGE_AT="30", DENY_AT="98", **step_up)
    world, signer = bench.world, Signer()
    world.keys = signer.keys()
    def sign_in(user, seen):
        world.sessions.pop(user, None)
        bench.sign_in(user, home)
        world.session(user, CLIENT, seen)
    def token(user):
        event = events.token_generation(user, groups=("admins", "staff"))
        return bench.trigger(event)["response"]["claimsAndScopeOverrideDetails"] or {}
    def call_api(user, acr, auth_time):
        claims = {"iss": f"http://127.0.0.1:{world.port}/{POOL}", "sub": f"sub-{user}", "client_id": CLIENT, "token_use": "access", "iat": auth_time, "exp": auth_time + 600,
                  "auth_time": auth_time, "acr": acr, "username": user, "scope": "openid", "riskgate:level": "low", **token(user)["accessTokenGeneration"]["claimsToAddOrOverride"]}
        return bench.trigger(events.authorizer(signer.token(claims)))["policyDocument"]["Statement"][0]["Effect"]
    try:
        for _ in range(5):
            bench.gained(lambda: sign_in("stepping", home))
        assert "groupOverrideDetails" not in token("stepping"), [line["score"] for line in bench.lines() if line.get("trigger") == "pre_authentication"]
        learned, began = bench.history("stepping")["successes"], int(time.time())
        counts, [line] = bench.gained(lambda: sign_in("stepping", OTHER_PROVIDER))
        assert counts["challenged"] == 1 and counts["contradicted"] == 1, (counts, line)
        assert (line["decision"], line["session"], line["context"]) == ("challenge", "challenged", "verified") and 30 <= line["score"] < 98, line
        [first] = [other for other in bench.lines() if other.get("id") == line["id"] and other.get("trigger") == "pre_authentication"]
        assert (first["decision"], first["user"]) == ("allow", line["user"]) and first["context"] == "unsigned", first
        assert bench.history("stepping")["successes"] == learned, "learned from a challenged session"
        restricted = token("stepping")
        access = restricted["accessTokenGeneration"]
        assert restricted["groupOverrideDetails"]["groupsToOverride"] == ["staff"] and access["scopesToSuppress"] == ["aws.cognito.signin.user.admin"], restricted
        since = access["claimsToAddOrOverride"]["riskgate:step_up_after"]
        assert began <= since <= time.time() and access["claimsToAddOrOverride"]["riskgate:acr"], access
        time.sleep(1.1)
        assert call_api("stepping", "urn:cognito:loa:1", int(time.time())) == "Deny" and "groupOverrideDetails" in token("stepping")
        assert call_api("stepping", "urn:cognito:loa:4", since - 60) == "Deny", "a proof from before the sign-in"
        assert call_api("stepping", "urn:cognito:loa:4", int(time.time())) == "Allow"
        assert "groupOverrideDetails" not in token("stepping"), "the step-up ends the restriction"
        assert bench.history("stepping")["successes"] == learned, "a step-up does not say where the sign-in came from"
        print(f"  a challenged session: score {line['score']}, {codes(line)}", flush=True)
        proved("a verified score between CHALLENGE_AT and DENY_AT restricts the user's tokens until a step-up; its line has the sign-in's id, and nothing is learned")
    finally:
        [function.kill() for function in bench.functions]


def monitored():
    """In monitor mode a session is judged, and nothing else happens."""
    bench = Bench("monitor", MODE="monitor")
    try:
        for seen in (HOME, HOME, HOME, ABROAD):
            def act():
                bench.world.sessions.pop("watched", None)
                bench.sign_in("watched", HOME)
                bench.world.session("watched", CLIENT, seen)
            counts, [line] = bench.gained(act)
        assert counts["denied"] == counts["contradicted"] == 1 and line["mode"] == "monitor", (counts, line)
        assert counts["revoked"] == 0 and not bench.world.revoked and len(bench.world.sessions["watched"]) == 1, counts
        details = bench.trigger(events.token_generation("watched", groups=("admins",)))["response"]["claimsAndScopeOverrideDetails"] or {}
        assert "groupOverrideDetails" not in details, details
        assert bench.history("watched")["successes"] == 3, "learned from what would be denied"
        proved("in monitor mode the liar's session is reported, and neither revoked nor restricted nor learned from")
    finally:
        [function.kill() for function in bench.functions]


def auth_events():
    """The second source, on a pool with threat protection."""
    bench = Bench("events", SESSION_SOURCE="auth_events", SESSION_ON_DENY="report")
    world = bench.world
    try:
        world.auth_event("boto", HOME)
        client = boto3.client("cognito-idp", endpoint_url=f"http://127.0.0.1:{world.port}", config=Config(retries={"total_max_attempts": 1}))
        [event] = client.admin_list_user_auth_events(UserPoolId=POOL, Username="boto", MaxResults=60)["AuthEvents"]
        assert event["CreationDate"].year > 2020 and event["EventContextData"]["IpAddress"] == HOME
        def sign_in(user, claim, seen):
            bench.sign_in(user, claim, client="plus")
            world.auth_event(user, ABROAD, response="Fail")
            world.auth_event(user, ABROAD, kind="ForgotPassword")
            world.auth_event(user, seen)
        counts, lines = bench.gained(lambda: [sign_in(f"plus-{number}", HOME.replace("20.110", f"{number + 1}.5"), HOME.replace("20.110", f"{number + 1}.5")) for number in range(5)])
        assert counts["confirmed"] == 5 and all(line["context"] == "verified" for line in lines), (counts, lines)
        assert bench.history("plus-0")["successes"] == 1
        counts, [line] = bench.gained(lambda: sign_in("plus-liar", HOME, ABROAD))
        assert counts["contradicted"] == 1 and "context_contradicted" in codes(line) and counts["revoked"] == 0, (counts, line)
        # An event names no app client: two sign-ins in the same half minute cannot be told apart.
        counts, lines = bench.gained(lambda: [sign_in("plus-twice", HOME, HOME), world.auth_event("plus-twice", ABROAD)])
        assert counts["ambiguous"] == 1 and not lines, (counts, lines)
        world.trouble = lambda operation: (400, {"__type": "UserPoolAddOnNotEnabledException", "message": "x"}) if operation.startswith("Admin") else None
        counts, _ = bench.gained(lambda: bench.sign_in("plus-off", HOME, client="plus"))
        assert counts["not_allowed"] == 1, counts
        configured = subprocess.run([BINARY, "config"], capture_output=True, text=True, env={**os.environ, **bench.variables})
        assert f"{POOL}: threat_protection_off" in configured.stdout, configured.stdout[-600:]
        proved("with authentication events people are confirmed, a liar is contradicted, two sign-ins at once are ambiguous, and a pool without threat protection is named")
    finally:
        [function.kill() for function in bench.functions]


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


def readiness(bench):
    """What `/readyz` lists."""
    with Sidecar(bench, subprocess.DEVNULL) as sidecar:
        # The first probe has read the store for the next one.
        time.sleep(0.5)
        return sidecar.call("/readyz")["degraded"]


def dashboard_revokes(bench):
    world, token = bench.world, "0123456789abcdef0123456789abcdef"
    parent = world.session("stolen", CLIENT, ABROAD, kind="SSO")
    world.session("stolen", CLIENT, ABROAD, origin=parent), world.session("stolen", CLIENT, HOME)
    path = f"{DIRECTORY}/sidecar.log"
    with open(path, "wb") as log, Sidecar(bench, log, DASHBOARD_OPERATORS=f"ada={token}") as sidecar:
        assert sidecar.call("/v1/activity/session", token=token)["can_revoke"] is True
        sidecar.call("/v1/assess", {"user": "stolen", "pool": POOL, "client": CLIENT, "ip": ABROAD})
        def row():
            rows = sidecar.call("/v1/activity/decisions", token=token)["rows"]
            return rows and rows[0]["user"]
        until("the decision is listed", row)
        action = sidecar.call("/v1/actions", {"action": "revoke", "subject": "user", "value": row(), "note": "taken over", "name": "stolen"}, token)
        assert action["sessions"] == {"revoked": 3, "failed": 0} and action["can_undo"] is False and "stolen" not in json.dumps(action), action
        try:
            sidecar.call(f"/v1/actions/{action['id']}/undo", {"note": "a mistake"}, token)
            raise AssertionError("it was undone")
        except urllib.error.HTTPError as error:
            assert error.code == 409 and json.load(error)["code"] == "final"
        def text():
            with open(path) as written:
                return written.read()
        # The sidecar writes lines after its answers.
        until("the audit line is written", lambda: '"trigger":"operator"' in text())
    assert world.sessions["stolen"] == [], world.sessions["stolen"]
    text = text()
    [line] = [json.loads(line) for line in text.splitlines() if '"trigger":"operator"' in line]
    assert (line["operation"], line["operator"], line["note"]) == ("revoke", "ada", "taken over") and "stolen" not in text, line
    world.revoked.clear()
    proved("an operator revokes all sessions of an account in the dashboard: audited without the name, and not to be undone")


def without_tracking(bench):
    world = bench.world
    for error, status in (("OperationNotEnabledException", 400), ("NotAuthorizedException", 400)):
        world.trouble = lambda operation: (status, {"__type": error, "message": "x"}) if operation.startswith("Admin") else None
        counts, lines = bench.gained(lambda: bench.sign_in("untracked", HOME))
        assert counts["not_allowed"] == 1 and not lines and not world.queue and not world.dead, counts
    check = lambda: bench.trigger({"riskgate": "check"})["sessions"]
    until("the check says so", lambda: "cognito-idp:AdminListUserSessions" in (check()["problem"] or ""))
    until("the check has the finding in the store", lambda: [(found["pool"], found["problem"]) for found in check()["findings"]] == [(POOL, "not_permitted")])
    configured = subprocess.run([BINARY, "config"], capture_output=True, text=True, env={**os.environ, **bench.variables})
    assert f"{POOL}: not_permitted, last found" in configured.stdout, configured.stdout[-600:] + configured.stderr
    [degraded] = [found for found in readiness(bench) if found["what"] == "sessions"]
    assert degraded["why"] == "not_permitted" and degraded["age_s"] < 60 and POOL in degraded["help"], degraded
    world.trouble = lambda operation: (500, {"__type": "InternalError"}) if operation == "SendMessage" else None
    before = bench.counts()
    bench.sign_in("unqueued", HOME)
    assert (bench.counts() - before)["queue_failed"] == 1
    world.trouble = lambda operation: None
    # Once the call is allowed, the finding is gone.
    def is_allowed():
        bench.gained(lambda: [bench.sign_in("tracked", HOME), world.session("tracked", CLIENT, HOME)])
        return not any(found["what"] == "sessions" for found in readiness(bench))
    until("the finding is gone", is_allowed)
    proved("without tracking, permission or queue the sign-in goes on, and a metric, the check, `riskgate config` and the sidecar's /readyz say so until it is allowed")


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
    # A killed function may not have sent its message.
    assert len(lines) >= 0.85 * len(messages) and len(messages) >= 0.97 * LOAD - 6, (len(lines), len(messages))
    assert len(messages) - 60 <= ended <= len(messages), (ended, len(messages))
    world.trouble = lambda operation: None
    proved("under load, with throttling, errors, hangs and killed functions, each session is judged, unmatched or skipped, and none twice")


def timed(scenario, *arguments):
    if CHOSEN and scenario.__name__ not in CHOSEN:
        return
    began = time.time()
    scenario(*arguments)
    print(f"  {scenario.__name__}: {time.time() - began:.0f} s", flush=True)


bench = Bench()
try:
    for scenario in (
        the_fake_is_cognitos, honest, waits, liar, managed_login, not_punished, drift, backend, teaches_nothing, commands, dashboard_revokes,
        without_tracking, sessions_edge_cases.answers, sessions_edge_cases.messages, twenty_at_once, under_load,
    ):
        timed(scenario, bench)
finally:
    for function in bench.functions:
        function.kill()
# The app client has been seen for long enough, so its sessions may be revoked.
timed(at_the_default_threshold)
timed(challenged)
timed(monitored)
timed(auth_events)
