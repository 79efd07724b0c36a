"""A login that asks riskgate before it checks the password. Python 3.9 or later, standard library only.

RISKGATE=http://127.0.0.1:8710 PORT=3000 python3 examples/backend.py
curl http://127.0.0.1:3000/sign-in -d '{"username":"ada","password":"correct horse"}'
"""

import json
import os
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RISKGATE = os.environ.get("RISKGATE", "http://127.0.0.1:8710")
TOKEN = os.environ.get("RISKGATE_TOKEN")


def call(path, body, **headers):
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(RISKGATE + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    # riskgate answers within RISKGATE_BUDGET, 2.5 s.
    with urllib.request.urlopen(request, timeout=3) as answer:
        return json.load(answer)


def assess(headers, peer, form):
    """Asks riskgate. Returns None if it cannot be reached: then the password decides alone."""
    body = {"user": form["username"], "client": "web", "userAgent": headers.get("User-Agent"), "acceptLanguage": headers.get("Accept-Language")}
    body |= {name: form[name] for name in ("deviceId", "timezone") if isinstance(form.get(name), str)}
    hops = ", ".join(filter(None, [headers.get("X-Forwarded-For"), peer]))
    try:
        return call("/v1/assess", body, **{"X-Forwarded-For": hops})
    except (OSError, ValueError) as error:
        print("riskgate gave no decision:", error, file=sys.stderr)
        return None


def report(assessment, outcome):
    """Reports how the sign-in ended. riskgate learns the user's habits from successes."""
    try:
        call("/v1/outcome", {"id": assessment["id"], "outcome": outcome})
    except (OSError, ValueError) as error:
        print("outcome not reported:", error, file=sys.stderr)


def is_password_right(username, password):
    """Your own check belongs here."""
    return username == "ada" and password == "correct horse"


def sign_in(headers, peer, form):
    assessment = assess(headers, peer, form)
    # The same answer for known and unknown names, before the password is looked at.
    if assessment and assessment["action"] == "deny":
        return 403, {"error": f"Sign-in was declined. Contact support and quote {assessment['id']}"}
    is_right = is_password_right(form["username"], form["password"])
    if assessment:
        threading.Thread(target=report, args=(assessment, "success" if is_right else "failure")).start()
    if not is_right:
        return 401, {"error": "Wrong name or password"}
    # "challenge" requires a stronger proof before the session; after it, report "challenge_passed" under the same id. "review" may.
    return 200, {"signedIn": form["username"], "secondFactor": bool(assessment) and assessment["action"] in ("challenge", "review")}


class Login(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            form = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 10_000)))
            is_form = isinstance(form["username"], str) and isinstance(form["password"], str)
        except (ValueError, KeyError, TypeError):
            is_form = False
        if self.path != "/sign-in":
            status, body = 404, {"error": "POST /sign-in"}
        elif not is_form:
            status, body = 400, {"error": "send username and password"}
        else:
            status, body = sign_in(self.headers, self.client_address[0], form)
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Login).serve_forever()
