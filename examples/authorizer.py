"""Answers nginx's auth_request and Envoy's ext_authz from riskgate. Python 3.9 or later, standard library only.

RISKGATE=http://127.0.0.1:8710 PORT=3001 ON_FAILURE=deny python3 examples/authorizer.py

It takes the user name from HTTP Basic, and answers 200 or 403, with X-Riskgate-Id and X-Riskgate-Action. The proxy passes both on to the
application, which reports the outcome of the sign-in under the id. A request without a user name is 200: there is no sign-in to assess.
ON_FAILURE, deny or allow, decides when riskgate gives no decision.
"""

import base64
import binascii
import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RISKGATE = os.environ.get("RISKGATE", "http://127.0.0.1:8710")
TOKEN = os.environ.get("RISKGATE_TOKEN")
ON_FAILURE = os.environ.get("ON_FAILURE", "deny")


def user_name(headers):
    scheme, _, credentials = (headers.get("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def assess(user, headers):
    body = {"user": user, "client": "proxy", "userAgent": headers.get("User-Agent"), "acceptLanguage": headers.get("Accept-Language")}
    sent = {"Content-Type": "application/json", "X-Forwarded-For": headers.get("X-Forwarded-For", "")}
    if TOKEN:
        sent["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(f"{RISKGATE}/v1/assess", json.dumps(body).encode(), sent)
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        print("riskgate gave no decision:", error, file=sys.stderr)
        return {"id": "", "action": ON_FAILURE}


class Authorizer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self):
        user = user_name(self.headers)
        assessment = assess(user, self.headers) if user else {"id": "", "action": "allow"}
        self.send_response(403 if assessment["action"] == "deny" else 200)
        self.send_header("X-Riskgate-Id", assessment["id"])
        self.send_header("X-Riskgate-Action", assessment["action"])
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do


if __name__ == "__main__":
    if ON_FAILURE not in ("allow", "deny"):
        sys.exit("ON_FAILURE is allow or deny")
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3001"))), Authorizer).serve_forever()
