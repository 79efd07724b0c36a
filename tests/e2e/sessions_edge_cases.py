"""Answers of the session API and messages of the queue that are rare or wrong."""

import collections
import itertools
import json
import time

import events
from sessions_bench import ABROAD, CLIENT, NEARBY, codes, proved

FIELDS = ("SessionId", "SessionType", "ClientId", "CreateDate", "LastActiveDate", "DeviceType", "LastIPAddress", "LastLocation", "IsCurrentSession")
# One for each user: an address of many users is not believed.
ADDRESSES = (f"84.208.{network}.77" for network in itertools.count(100))


def answers(bench):
    """Sessions with fields that are missing or odd, two in one second, an address that a refresh overwrote, pages that fail."""
    world, expected = bench.world, collections.Counter()

    def sign_in(user, ends, *sessions, client=CLIENT):
        """A sign-in with these sessions, whose look-up is to end so."""
        address = next(ADDRESSES)
        bench.sign_in(user, address, client=client)
        for fields in sessions:
            world.session(user, client, address, **fields)
        expected[ends] += 1

    # An app client's id is text.
    odd = 'odd "client"/\\ #1 \u00e9\t%00'

    def act():
        # Each field may be absent. Without an id, an address or a time nothing is matched; without a client the time decides.
        for field in ("SessionType", "ClientId", "LastActiveDate", "DeviceType", "LastLocation", "IsCurrentSession"):
            sign_in(f"without-{field}", "confirmed", {field: None})
        for field in ("CreateDate", "LastIPAddress", "SessionId"):
            sign_in(f"without-{field}", "unmatched", {field: None})
        sign_in("empty", "unmatched", dict.fromkeys(FIELDS))
        for created in (0.0, 1e300, -1e300):
            sign_in(f"created-{created}", "unmatched", {"CreateDate": created})
        sign_in("created-whole", "confirmed", {"CreateDate": int(time.time())})
        # Two in one second: of one client they are ambiguous, of two the client decides.
        second = time.time()
        sign_in("twins", "ambiguous", {"CreateDate": second}, {"CreateDate": second})
        sign_in("siblings", "confirmed", {}, {"ClientId": "other-client", "LastIPAddress": ABROAD})
        sign_in("odd-client", "confirmed", {"ClientId": None}, client=odd)
        # A refresh before the look-up leaves its own address, which is still that of who signed in.
        sign_in("overwritten", "confirmed", {})
        world.touch("overwritten", NEARBY)
    counts, lines = bench.gained(act)
    assert {name: counts[name] for name in expected} == expected and counts["queued"] == expected.total() and not counts["failed"], (counts, expected)
    assert len(lines) == expected["confirmed"] and {line["country"] for line in lines} == {"NO"} and not any("context_contradicted" in codes(line) for line in lines), lines
    assert odd in {line["client"] for line in lines}

    def failing(user, trouble):
        """A sign-in whose pages fail once, and whether the delivery after it is judged."""
        def act():
            address = next(ADDRESSES)
            bench.sign_in(user, address)
            # Five sessions are three pages.
            for client in ("other-client", "other-client", "other-client", "other-client", CLIENT):
                world.session(user, client, address)
            calls = itertools.count()
            world.trouble = lambda operation: trouble if operation == "AdminListUserSessions" and next(calls) == 1 else None
        try:
            return bench.gained(act)
        finally:
            world.trouble = lambda operation: None
    for status in (500, 503):
        counts, lines = failing(f"page-{status}", (status, {"__type": "InternalErrorException"}))
        assert (counts["failed"], counts["confirmed"], len(lines)) == (1, 1, 1), counts
    counts, lines = failing("page-limited", (400, {"__type": "TooManyRequestsException", "message": "x"}))
    assert (counts["failed"], counts["confirmed"], len(lines)) == (0, 1, 1), counts
    # What is no page of sessions fails, and the message is delivered again.
    for name, answer in [("text", "x"), ("number", {"Sessions": 1}), ("fields", {"Sessions": [{"SessionId": 5, "CreateDate": "yesterday"}]}), ("null", {"Sessions": [None]}),
                         ("html", b"<html>")]:
        counts, lines = failing(f"answer-{name}", (200, answer))
        assert (counts["failed"], counts["confirmed"], len(lines)) == (1, 1, 1), (name, counts)
    for name, answer in [("empty", {"Sessions": None, "NextToken": None, "New": 1}), ("list", [])]:
        counts, _ = failing(f"answer-{name}", (200, answer))
        assert counts["confirmed"] == 1 and not counts["failed"], (name, counts)
    proved("fields that are missing, odd types, two sessions in a second, an overwritten address, odd client ids and pages that fail lead to no wrong match")


def messages(bench):
    """Messages that are not the trigger's, or are of another pool, key or form, and a history that is forgotten before the judgement."""
    world = bench.world

    def sent(user):
        """The message of a sign-in, taken from the queue."""
        address = next(ADDRESSES)
        bench.sign_in(user, address)
        world.session(user, CLIENT, address)
        [message] = world.queue
        world.queue.clear()
        return json.loads(message["body"])

    def deliver(*bodies):
        """The batch's failures, by place, and the counts."""
        records = [{"messageId": str(place), "eventSource": "aws:sqs", "attributes": {}, **({} if body is None else {"body": body})} for place, body in enumerate(bodies)]
        before = bench.counts()
        kind, answer = world.invoke({"Records": records})
        assert kind == "response", answer
        time.sleep(0.2)
        return [int(entry["itemIdentifier"]) for entry in answer["batchItemFailures"]], bench.counts() - before

    good = sent("message")
    strange = [None, "", "hello", "{}", "[]", "null", json.dumps({"Type": "Notification", "Message": json.dumps(good)}), json.dumps({**good, "kind": "sign_out"}),
               json.dumps({**good, "at": "now"}), json.dumps({**good, "tries": -1}), "[" * 10_000, "\u0000"]
    failed, counts = deliver(*strange, json.dumps(good))
    # They are counted, and deleted: no delivery would make them readable.
    assert not failed and counts["unreadable"] == len(strange) and counts["confirmed"] == 1, (failed, counts)
    failed, counts = deliver(json.dumps(good))
    assert not failed and dict(counts) == {"duplicate": 1}, counts
    # Changed, or sealed under a key or in a form that this version does not have. Another instance may read it, so it is delivered again.
    good = sent("sealed")
    changes = [{"user": good["user"][:-8] + "AAAAAAAA"}, {"user": "ada"}, {"user": ""}, {"pool": "us-east-1_other"}, {"client": "other-client"}, {"kind": "managed_login"},
               {"id": "01J0000000000000000000000A"}, {"at": good["at"] + 1000}, {"sample": "vAAAAAAAA"}]
    failed, counts = deliver(*(json.dumps(good | change) for change in changes))
    assert failed == list(range(len(changes))) and counts["unreadable"] == len(changes) and not counts["confirmed"], (failed, counts)
    # A message that was re-sent for too long ends.
    good = sent("tired")
    world.sessions["tired"] = []
    failed, counts = deliver(json.dumps({**good, "tries": 200}))
    assert not failed and counts["unmatched"] == 1 and not world.queue, (failed, counts)
    # Of a pool that the role may not read. The users of this one are judged as before.
    other, address = "us-east-1_other", next(ADDRESSES)
    bench.trigger(events.pre_authentication("elsewhere", ip=address, client=CLIENT, pool=other))
    bench.trigger(events.post_authentication("elsewhere", client=CLIENT, pool=other))
    [elsewhere] = [message["body"] for message in world.queue]
    world.queue.clear()
    good = sent("pool")
    listed, world.cognito = world.cognito, lambda operation, request: (
        (400, {"__type": "NotAuthorizedException", "message": "x"}) if request["UserPoolId"] == other else listed(operation, request))
    try:
        failed, counts = deliver(elsewhere, json.dumps(good))
    finally:
        world.cognito = listed
    assert not failed and counts["not_allowed"] == 1 and counts["confirmed"] == 1, (failed, counts)
    assert bench.history("pool")["successes"] == 1
    proved("messages that are not ours, are changed, or are of another key, form or pool are counted, and none is judged twice or as another's")
