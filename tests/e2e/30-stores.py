"""Sign-ins whose verdict depends on what the store knows; the audit lines are read from the function's log."""

import base64
import json
import os
import sys
import time

import boto3
from botocore.config import Config

cognito = boto3.client("cognito-idp", config=Config(retries={"total_max_attempts": 1}, read_timeout=20))
HOME = {
    "ip": "81.2.69.142", "deviceId": "device-of-ola", "timezone": "Europe/London",
    "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
}
AWAY = {
    "ip": "177.54.144.1", "deviceId": "device-of-nobody",
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


def sign_in(metadata):
    """Seconds until she was let in, and her tokens."""
    began = time.monotonic()
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH", ClientId=os.environ["BACKEND_CLIENT"],
        AuthParameters={"USERNAME": "ola@example.com", "PASSWORD": "Correct-horse-1"}, ClientMetadata=metadata,
    )
    return time.monotonic() - began, answer["AuthenticationResult"]


def claims(tokens):
    """riskgate's claims in an ID token."""
    body = tokens["IdToken"].split(".")[1]
    every = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return {name: value for name, value in every.items() if name.startswith("riskgate:")}


def verdicts():
    """The audit lines of decided sign-ins, oldest first."""
    with open(sys.argv[1]) as log:
        lines = [json.loads(line) for line in log if '"trigger":"pre_authentication"' in line]
    return lines


def codes(verdict):
    return {reason["code"] for reason in verdict["reasons"]}


def first():
    for _ in range(3):
        _, tokens = sign_in(HOME)
    assert claims(tokens)["riskgate:level"] == "low", claims(tokens)
    seen = verdicts()
    assert [v["evidence"]["history"] for v in seen] == ["fresh"] * 3, [v["evidence"] for v in seen]


def second():
    _, tokens = sign_in(HOME)
    # A refresh goes through the token trigger alone.
    refreshed = cognito.initiate_auth(AuthFlow="REFRESH_TOKEN_AUTH", ClientId=os.environ["BACKEND_CLIENT"], AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]})
    assert claims(refreshed["AuthenticationResult"]) == claims(tokens) != {}, (claims(refreshed["AuthenticationResult"]), claims(tokens))
    try:
        sign_in(AWAY)
    except cognito.exceptions.UserLambdaValidationException as denied:
        assert "Sign-in was declined" in str(denied), denied
    else:
        raise AssertionError("a sign-in from far away, minutes later, was allowed")
    at_home, away = verdicts()
    print(f"  claims {claims(tokens)}; at home {at_home['score']} {sorted(codes(at_home))}; far away {away['score']} {sorted(codes(away))}")
    assert at_home["evidence"]["history"] == away["evidence"]["history"] == "fresh"
    assert away["decision"] == "deny" and codes(away) & {"new_country", "impossible_travel"}, away
    assert not any(code.startswith("new_") for code in codes(at_home)), codes(at_home)


def until(wanted):
    """Waits until a sign-in ends as wanted: instances follow the lists within ten seconds."""
    end = time.monotonic() + 20
    while True:
        try:
            sign_in(HOME)
            got = "let in"
        except cognito.exceptions.UserLambdaValidationException:
            got = "denied"
        if got == wanted:
            return
        assert time.monotonic() < end, f"{got}, not {wanted}"
        time.sleep(0.5)


def before_kill():
    sign_in(HOME)
    assert verdicts()[-1]["evidence"]["history"] == "fresh", verdicts()[-1]["evidence"]


def after_kill():
    slowest = max(sign_in(HOME)[0] for _ in range(5))
    for verdict in verdicts()[-5:]:
        assert verdict["evidence"]["history"] not in ("fresh", "hit", "not_asked"), verdict["evidence"]
        assert "history" in verdict["degraded"]["causes"], verdict["degraded"]
    assert slowest < 2, slowest
    print(f"  the slowest sign-in without its store took {1000 * slowest:.0f} ms at the client")


PHASES = {
    "first": first, "second": second, "denied": lambda: until("denied"), "let-in": lambda: until("let in"), "before-kill": before_kill, "after-kill": after_kill,
}
PHASES[os.environ["PHASE"]]()
