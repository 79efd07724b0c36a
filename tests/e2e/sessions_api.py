"""What verified sessions talk to: Cognito's session API, SQS and Lambda's runtime API, in one process on 127.0.0.1.

The answers of the session API are checked against botocore's model by `check_answer`, which boto3's own lenient parser does not do.
"""

import base64
import http.server
import itertools
import json
import os
import re
import secrets
import string
import subprocess
import threading
import time

import botocore.session
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

MODEL = botocore.session.get_session().get_service_model("cognito-idp")
ALPHABET = string.ascii_lowercase + string.digits
# Messages come this much sooner than their delay.
HASTE = 10


def problems(value, shape, path=""):
    """Yields where a JSON value breaks a shape of the model: members, types, bounds, enums and patterns."""
    kind = shape.type_name
    expected = {"structure": dict, "list": list, "string": str, "timestamp": (int, float), "boolean": bool, "integer": int}[kind]
    if not isinstance(value, expected) or (kind != "boolean" and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {kind}"
    elif kind == "structure":
        yield from (f"{path}.{name} is unknown" for name in value.keys() - shape.members.keys())
        yield from (f"{path}.{name} is missing" for name in set(shape.required_members) - value.keys())
        for name in value.keys() & shape.members.keys():
            yield from problems(value[name], shape.members[name], f"{path}.{name}")
    elif kind == "list":
        for at, inner in enumerate(value):
            yield from problems(inner, shape.member, f"{path}[{at}]")
    elif kind == "string":
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 1 << 30)
        if not low <= len(value) <= high:
            yield f"{path}: {len(value)} characters"
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is not in the enum"
        pattern = shape.metadata.get("pattern")
        # Python's `re` has no \p{..}.
        if pattern and "\\p{" not in pattern and not re.search(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"


def check_answer(operation, answer):
    shape = MODEL.operation_model(operation).output_shape
    found = list(problems(answer, shape)) if shape else []
    assert not found, (operation, found)


class World:
    """The sessions of a pool, a queue, and the functions that take events."""

    def __init__(self):
        self.lock = threading.Condition()
        self.sessions, self.events, self.revoked, self.calls = {}, {}, [], 0
        self.queue, self.dead, self.sent = [], [], []
        self.invocations, self.results = [], {}
        self.numbers = itertools.count()
        # What the API does wrong: a function of the operation that returns (status, error) or None.
        self.trouble = lambda operation: None
        # The pool's signing keys.
        self.keys = {"keys": []}
        self.server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"world": self}))
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    # --- sessions

    def session(self, user, client, ip, kind="TOKEN", origin=None, after=0.0, late=0.0, **fields):
        """Adds a session that is listed `late` seconds from now."""
        now = time.time() + after
        entry = {
            "SessionId": ("tkn" if kind == "TOKEN" else "sso") + "".join(secrets.choice(ALPHABET) for _ in range(25)), "SessionType": kind, "ClientId": client,
            "CreateDate": now, "LastActiveDate": now, "DeviceType": "Chrome 140 / Windows 10", "LastIPAddress": ip, "LastLocation": {"Country": "unknown"},
            "IsCurrentSession": False}
        if origin:
            entry["OriginSessionId"] = origin
        entry |= fields
        entry = {name: value for name, value in entry.items() if value is not None}
        with self.lock:
            self.sessions.setdefault(user, []).append((time.time() + late, entry))
        return entry.get("SessionId")

    def touch(self, user, ip):
        """A refresh from an address: it overwrites that of the user's newest session."""
        with self.lock:
            self.sessions[user][-1][1].update(LastIPAddress=ip, LastActiveDate=time.time())

    def auth_event(self, user, ip, response="Pass", kind="SignIn"):
        """Adds an authentication event, newest first."""
        context = {"IpAddress": ip, "DeviceName": "Chrome 126, Windows 10", "Timezone": "-07:00", "City": "null", "Country": "Norway"}
        entry = {
            "EventId": secrets.token_hex(16), "EventType": kind, "CreationDate": time.time(), "EventResponse": response,
            "EventRisk": {"RiskDecision": "NoRisk", "CompromisedCredentialsDetected": False}, "ChallengeResponses": [{"ChallengeName": "Password", "ChallengeResponse": "Success"}],
            "EventContextData": {name: value for name, value in context.items() if value is not None}}
        with self.lock:
            self.events.setdefault(user, []).insert(0, entry)

    def cognito(self, operation, request):
        trouble = self.trouble(operation)
        if trouble:
            return trouble
        user = request["Username"]
        if operation == "AdminListUserAuthEvents":
            assert 0 <= request["MaxResults"] <= 60, request
            answer = {"AuthEvents": self.events.get(user, [])[:request["MaxResults"]]}
            check_answer(operation, answer)
            return 200, answer
        if user not in self.sessions:
            return 400, {"__type": "UserNotFoundException", "message": f"{user} is unknown"}
        if operation == "AdminListUserSessions":
            listed = [entry for since, entry in self.sessions[user] if since <= time.time()]
            start = int(request.get("NextToken", 0))
            answer = {"Sessions": listed[start:start + 2]}
            if len(listed) > start + 2:
                answer["NextToken"] = str(start + 2)
        else:
            assert request["RevokeAssociatedSessions"] == "LINKED", request
            gone = request["SessionId"]
            self.revoked.append((user, gone))
            self.sessions[user] = [(since, entry) for since, entry in self.sessions[user] if gone not in (entry["SessionId"], entry.get("OriginSessionId"))]
            answer = {}
        check_answer(operation, answer)
        return 200, answer

    # --- queue

    def take(self, most):
        """Messages that are due. Untaken ones come back by `give_back`."""
        with self.lock:
            due = [message for message in self.queue if message["due"] <= time.time()][:most]
            for message in due:
                self.queue.remove(message)
        return due

    def give_back(self, message, wait):
        message["received"] += 1
        message["due"] = time.time() + wait
        with self.lock:
            (self.dead if message["received"] >= 8 else self.queue).append(message)

    # --- runtime API

    def invoke(self, event, seconds=20.0):
        """The answer of a function to an event; None if it did not come."""
        number = f"{next(self.numbers):032d}"
        with self.lock:
            self.invocations.append((number, json.dumps(event), int((time.time() + seconds) * 1000)))
            self.lock.notify_all()
            self.lock.wait_for(lambda: number in self.results, timeout=seconds + 1)
            return self.results.pop(number, None)

    def next_invocation(self):
        with self.lock:
            while not self.lock.wait_for(lambda: self.invocations, timeout=300):
                pass
            return self.invocations.pop(0)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path.endswith("/.well-known/jwks.json"):
            return self.answer(200, self.world.keys)
        number, event, deadline = self.world.next_invocation()
        try:
            self.answer(200, event.encode(), [
                ("lambda-runtime-aws-request-id", number), ("lambda-runtime-deadline-ms", str(deadline)), ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:x"),
                ("content-type", "application/json")])
        except ConnectionError:
            # The function was killed while it waited: another one takes the event.
            with self.world.lock:
                self.world.invocations.append((number, event, deadline))
                self.world.lock.notify_all()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        found = re.match(r"/2018-06-01/runtime/invocation/(\d+)/(response|error)", self.path)
        if found:
            with self.world.lock:
                self.world.results[found[1]] = (found[2], json.loads(body or b"null"))
                self.world.lock.notify_all()
            return self.answer(202, {})
        assert self.headers["authorization"].startswith("AWS4-HMAC-SHA256"), "unsigned"
        service, operation = self.headers["x-amz-target"].split(".")
        request = json.loads(body)
        if service == "AmazonSQS":
            trouble = self.world.trouble(operation)
            if trouble:
                return self.answer(*trouble)
            assert 0 <= request["DelaySeconds"] <= 900, request
            with self.world.lock:
                self.world.sent.append(request["MessageBody"])
                self.world.queue.append({"id": secrets.token_hex(8), "body": request["MessageBody"], "due": time.time() + request["DelaySeconds"] / HASTE, "received": 0})
            return self.answer(200, {"MessageId": secrets.token_hex(8), "MD5OfMessageBody": "0" * 32})
        with self.world.lock:
            self.world.calls += 1
        status, answer = self.world.cognito(operation, request)
        try:
            self.answer(status, answer)
        except ConnectionError:
            pass


class Signer:
    """The pool's signing key."""

    def __init__(self):
        with open(os.path.join(os.path.dirname(__file__), "../fixtures/jwt/current.pk8"), "rb") as file:
            self.key = serialization.load_der_private_key(file.read(), None)

    @staticmethod
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def keys(self):
        numbers = self.key.public_key().public_numbers()
        members = {name: self.text(number.to_bytes((number.bit_length() + 7) // 8, "big")) for name, number in (("n", numbers.n), ("e", numbers.e))}
        return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", **members}]}

    def token(self, claims):
        message = ".".join(self.text(json.dumps(part).encode()) for part in ({"kid": "1", "alg": "RS256"}, claims))
        return f"{message}.{self.text(self.key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Function:
    """The binary as a function, with its standard output in a file."""

    def __init__(self, world, binary, variables, log):
        self.world, self.binary, self.log = world, binary, log
        self.environment = {**os.environ, **variables, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{world.port}", "AWS_LAMBDA_FUNCTION_NAME": "sessions",
                            "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{world.port}"}
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary], env=self.environment, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()
