"""Signs in with boto3 and SRP in a pool whose challenge triggers are riskgate: 22-challenge.py BOOTSTRAP"""

import base64
import datetime
import hashlib
import hmac
import io
import json
import os
import re
import sys
import time
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=30)
COGNITO, LAMBDA = boto3.client("cognito-idp", config=ONCE), boto3.client("lambda", config=ONCE)
PASSWORD = "Correct-horse-1"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOME = {"ip": "84.208.20.110", "userAgent": CHROME, "deviceId": "laptop-1"}
# Another network and another device in the same country.
AFAR = {"ip": "84.208.99.1", "userAgent": FIREFOX, "deviceId": "box-9"}
TTL = 60

# The group of RFC 5054 with 3072 bits.
N = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374F"
    "E1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA"
    "48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E77"
    "2C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521AB"
    "DF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733E"
    "C86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF", 16)
G = 2


def proved(text):
    print(f"  proved: {text}", flush=True)


def padded(number):
    """The bytes of a number, with a zero byte in front if its first bit is set."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def hashed(*parts):
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


def proof(pool, parameters, password, secret, public):
    """The answer to PASSWORD_VERIFIER."""
    user, block, other = parameters["USER_ID_FOR_SRP"], parameters["SECRET_BLOCK"], int(parameters["SRP_B"], 16)
    scramble = hashed(padded(public), padded(other))
    inner = hashlib.sha256(f"{pool.split('_')[1]}{user}:{password}".encode()).digest()
    private = hashed(padded(int(parameters["SALT"], 16)), inner)
    shared = pow(other - hashed(padded(N), padded(G)) * pow(G, private, N), secret + scramble * private, N)
    key = hmac.digest(hmac.digest(padded(scramble), padded(shared), "sha256"), b"Caldera Derived Key\x01", "sha256")[:16]
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = f"{now:%a %b} {now.day} {now:%H:%M:%S} UTC {now.year}"
    signature = hmac.digest(key, f"{pool.split('_')[1]}{user}".encode() + base64.b64decode(block) + stamp.encode(), "sha256")
    return {"USERNAME": user, "PASSWORD_CLAIM_SECRET_BLOCK": block, "TIMESTAMP": stamp, "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(signature).decode()}


class Bench:
    """The pool, its client and the function behind its triggers."""

    def __init__(self, bootstrap):
        boto3.client("dynamodb").create_table(
            TableName="riskgate", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")])
        boto3.client("sesv2").create_email_identity(EmailIdentity="security@example.com")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            file.writestr(entry, open(bootstrap, "rb").read())
        variables = {
            "STORE": "dynamodb://riskgate", "PSEUDONYM_KEY": "k1:" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="), "STORE_TIMEOUT": "2s", "BUDGET": "2900ms",
            "REVIEW_AT": "40", "CHALLENGE_AT": "40", "DENY_AT": "100", "CHALLENGE_FROM": "security@example.com", "CHALLENGE_CODE_TTL": f"{TTL}s", "CHALLENGE_CODES": "50",
            "CHALLENGE_NETWORK_CODES": "50",
        }
        self.pool = COGNITO.create_user_pool(PoolName="challenged")["UserPool"]["Id"]
        self.client = COGNITO.create_user_pool_client(UserPoolId=self.pool, ClientName="web", ExplicitAuthFlows=["ALLOW_CUSTOM_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"])["UserPoolClient"]["ClientId"]
        variables["TRUSTED_CLIENTS"] = self.client
        self.arn = LAMBDA.create_function(
            FunctionName="riskgate", Runtime="provided.al2023", Handler="bootstrap", Role="arn:aws:iam::000000000000:role/riskgate", Timeout=20, MemorySize=256,
            Code={"ZipFile": archive.getvalue()}, Environment={"Variables": {f"RISKGATE_{name}": value for name, value in variables.items()}})["FunctionArn"]
        COGNITO.update_user_pool(UserPoolId=self.pool, LambdaConfig={name: self.arn for name in ("DefineAuthChallenge", "CreateAuthChallenge", "VerifyAuthChallengeResponse")})
        for name in ("ola", "kari", "eve"):
            attributes = [{"Name": "email", "Value": f"{name}@example.com"}, {"Name": "email_verified", "Value": "true" if name != "eve" else "false"}]
            COGNITO.admin_create_user(UserPoolId=self.pool, Username=name, UserAttributes=attributes, MessageAction="SUPPRESS")
            COGNITO.admin_set_user_password(UserPoolId=self.pool, Username=name, Password=PASSWORD, Permanent=True)

    def begin(self, user, password, metadata):
        """A sign-in up to the answer of the password check."""
        secret = int.from_bytes(os.urandom(128), "big")
        public = pow(G, secret, N)
        first = COGNITO.initiate_auth(
            AuthFlow="CUSTOM_AUTH", ClientId=self.client, AuthParameters={"CHALLENGE_NAME": "SRP_A", "USERNAME": user, "SRP_A": f"{public:x}"}, ClientMetadata=metadata)
        assert first["ChallengeName"] == "PASSWORD_VERIFIER", first
        answer = proof(self.pool, first["ChallengeParameters"], password, secret, public)
        return self.respond("PASSWORD_VERIFIER", first["Session"], answer, metadata)

    def respond(self, challenge, session, answer, metadata):
        return COGNITO.respond_to_auth_challenge(ClientId=self.client, ChallengeName=challenge, Session=session, ChallengeResponses=answer, ClientMetadata=metadata)

    def code(self, user, session, code, metadata=AFAR):
        return self.respond("CUSTOM_CHALLENGE", session, {"USERNAME": user, "ANSWER": code}, metadata)

    def succeeded(self, user):
        """The post-authentication event, which ministack lacks."""
        attributes = {entry["Name"]: entry["Value"] for entry in COGNITO.admin_get_user(UserPoolId=self.pool, Username=user)["UserAttributes"]}
        event = {
            "version": "1", "triggerSource": "PostAuthentication_Authentication", "region": "us-east-1", "userPoolId": self.pool, "userName": user,
            "callerContext": {"awsSdkVersion": "x", "clientId": self.client}, "request": {"userAttributes": attributes, "newDeviceUsed": False}, "response": {}}
        answer = LAMBDA.invoke(FunctionName="riskgate", Payload=json.dumps(event).encode())
        assert "FunctionError" not in answer, answer["Payload"].read()


def mails():
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_ministack/ses/messages") as answer:
        messages = json.load(answer)["messages"]
    return [message for account in messages.values() for message in account]


def mailed_code(to):
    """The code of the latest mail, which has to be to this address."""
    mail = mails()[-1]
    assert mail["To"] == [to] and mail["Source"] == "security@example.com", mail
    [code] = re.findall(r"^\s*(\d{8})$", mail["BodyText"], re.MULTILINE)
    assert code in mail["BodyHtml"], mail
    return code


def refused(call, *codes):
    try:
        answer = call()
    except ClientError as error:
        assert error.response["Error"]["Code"] in codes, error
        return str(error)
    raise AssertionError(f"not refused: {answer}")


def wrong(code):
    return f"{(int(code) + 1) % 100_000_000:08}"


def main():
    bench = Bench(sys.argv[1])

    # Everybody is at home until riskgate knows the place.
    for name in ("ola", "kari", "eve"):
        for _ in range(3):
            answer = bench.begin(name, PASSWORD, HOME)
            assert "AccessToken" in answer["AuthenticationResult"], answer
            bench.succeeded(name)
    before = len(mails())
    answer = bench.begin("ola", PASSWORD, HOME)
    assert "AccessToken" in answer["AuthenticationResult"] and len(mails()) == before, answer
    bench.succeeded("ola")
    proved("boto3 with SRP: a familiar sign-in gets its tokens at once, and no mail")

    strange = bench.begin("ola", PASSWORD, AFAR)
    assert strange["ChallengeName"] == "CUSTOM_CHALLENGE", strange
    assert strange["ChallengeParameters"] == {"CODE_DELIVERY_DELIVERY_MEDIUM": "EMAIL", "CODE_DELIVERY_DESTINATION": "o***@e***"}, strange
    assert len(mails()) == before + 1
    used = mailed_code("ola@example.com")
    again = bench.code("ola", strange["Session"], wrong(used))
    assert again["ChallengeName"] == "CUSTOM_CHALLENGE" and len(mails()) == before + 1, again
    answer = bench.code("ola", again["Session"], used)
    assert "AccessToken" in answer["AuthenticationResult"], answer
    bench.succeeded("ola")
    proved("a strange sign-in gets a code from the mailbox of SES; after a wrong answer the same code still gets tokens")

    refused(lambda: bench.code("ola", strange["Session"], used), "NotAuthorizedException", "InvalidParameterException")
    kari = bench.begin("kari", PASSWORD, AFAR)
    first = mailed_code("kari@example.com")
    retry = bench.code("kari", kari["Session"], used)
    assert retry["ChallengeName"] == "CUSTOM_CHALLENGE", "a replayed code of another sign-in was accepted"
    other = bench.begin("kari", PASSWORD, {**AFAR, "deviceId": "box-10"})
    second = mailed_code("kari@example.com")
    assert bench.code("kari", other["Session"], first)["ChallengeName"] == "CUSTOM_CHALLENGE", "another session's code was accepted"
    proved("a replayed code, and another session's code, get nothing")

    failing = bench.begin("kari", PASSWORD, {**AFAR, "deviceId": "box-11"})
    third = mailed_code("kari@example.com")
    for _ in range(2):
        failing = bench.code("kari", failing["Session"], wrong(third))
        assert failing["ChallengeName"] == "CUSTOM_CHALLENGE", failing
    refused(lambda: bench.code("kari", failing["Session"], wrong(third)), "NotAuthorizedException")
    refused(lambda: bench.code("kari", failing["Session"], third), "NotAuthorizedException", "InvalidParameterException")
    proved("three wrong codes end the sign-in, and the right one comes too late")

    late, started = bench.begin("kari", PASSWORD, {**AFAR, "deviceId": "box-12"}), time.monotonic()
    expired = mailed_code("kari@example.com")

    refused(lambda: bench.begin("kari", "Wrong-horse-1", AFAR), "NotAuthorizedException")
    skipped = {"USERNAME": "kari"}
    for parameters in (skipped, {**skipped, "CHALLENGE_NAME": "CUSTOM_CHALLENGE"}):
        refused(lambda: COGNITO.initiate_auth(AuthFlow="CUSTOM_AUTH", ClientId=bench.client, AuthParameters=parameters), "NotAuthorizedException")
    proved("a client that skips the password, or has a wrong one, gets nothing")

    text = refused(lambda: bench.begin("eve", PASSWORD, AFAR), "InvalidLambdaResponseException", "UserLambdaValidationException")
    assert "Sign-in was declined" in text and all(mail["To"] != ["eve@example.com"] for mail in mails()), text
    proved("no code is sent to an address that is not verified")

    time.sleep(max(0, TTL + 2 - (time.monotonic() - started)))
    assert bench.code("kari", late["Session"], expired)["ChallengeName"] == "CUSTOM_CHALLENGE", "an expired code was accepted"
    assert second != expired
    proved("an expired code gets nothing")


main()
