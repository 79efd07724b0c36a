"""Invokes the function with boto3 as a trigger's caller would."""

import json
import re

import boto3
from botocore.config import Config

import events

CLIENT = boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}, read_timeout=10))
SENTENCE = re.compile(r"^Sign-in was declined for security reasons\. Contact support and quote [0-9A-HJKMNP-TV-Z]{26}$")


def invoke(event):
    payload = event if isinstance(event, (bytes, str)) else json.dumps(event)
    answer = CLIENT.invoke(FunctionName="riskgate", Payload=payload)
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


# Allowed: unknown fields, nulls and numbers come back as they were.
event = events.pre_authentication("ola.nordmann@example.com", deviceId="device-e2e-1")
event["request"]["somethingNew"] = {"nested": [1, 2.50, None, "ø"]}
assert invoke(event) == (None, event), invoke(event)

# Denied by address, with the fixed sentence, and the reasons are not shown.
error, body = invoke(events.pre_authentication("ola.nordmann@example.com", ip="81.2.69.142"))
assert error == "Unhandled", (error, body)
assert body["errorType"] == "SignInDenied", body
assert SENTENCE.match(body["errorMessage"]), body
assert set(body) <= {"errorType", "errorMessage", "stackTrace"}, body

# Unknown users get the same answer.
unknown = events.pre_authentication("nobody@example.com", ip="81.2.69.142")
unknown["request"] |= {"userNotFound": True, "userAttributes": {}}
error, answer = invoke(unknown)
assert error == "Unhandled" and SENTENCE.match(answer["errorMessage"]), answer

# AWS's minimal test event is a pre-authentication; a trigger that is not ours goes back untouched.
minimal = {"userName": "testuser", "callerContext": {"clientId": "12345"}}
assert invoke(minimal)[0] is None
other = {**events.pre_authentication(), "triggerSource": "PreSignUp_SignUp"}
assert invoke(other) == (None, other)

# Broken input is an error that tells the person nothing.
for broken in ("[]", '"text"', '{"request":[]}'):
    error, body = invoke(broken)
    assert error == "Unhandled", (broken, error, body)
    assert not re.search(r"serde|expected|column|line \d|panick", json.dumps(body), re.I), body

report = invoke({"riskgate": "check"})
assert report[0] is None and isinstance(report[1], dict), report
print("  allow, deny, unknown user, minimal event, other trigger, broken input and check as boto3 sees them")
