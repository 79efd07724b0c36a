"""Signs in with boto3 against cognito-local, the triggers wired to riskgate."""

import os
import re
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

COGNITO = boto3.client("cognito-idp", config=Config(retries={"total_max_attempts": 1}, read_timeout=20))
PASSWORD = "Correct-horse-1"
DENIED = re.compile(r"^PreAuthentication failed with error Sign-in was declined for security reasons\. Contact support and quote [0-9A-Z]{26}\.$")


def sign_in(name="ola@example.com", password=PASSWORD, client="BACKEND_CLIENT", **metadata):
    began = time.monotonic()
    try:
        answer = COGNITO.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH", ClientId=os.environ[client], AuthParameters={"USERNAME": name, "PASSWORD": password}, ClientMetadata=metadata
        )
        outcome = answer["AuthenticationResult"]
    except ClientError as error:
        outcome = error.response["Error"]["Code"], error.response["Error"]["Message"]
    assert time.monotonic() - began < 3, f"a sign-in took {time.monotonic() - began:.1f} s"
    return outcome


tokens = sign_in(ip="2.26.53.1", userAgent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
assert isinstance(tokens, dict), tokens
for client in ("BACKEND_CLIENT", "PUBLIC_CLIENT"):
    for name, password in (("ola@example.com", PASSWORD), ("ola@example.com", "wrong"), ("nobody@example.com", "wrong")):
        code, message = sign_in(name, password, client, ip="81.2.69.142")
        assert code == "UserLambdaValidationException" and DENIED.match(message), (client, name, code, message)

# Let in by riskgate, refused by Cognito.
code, _ = sign_in(password="wrong")
assert code in ("NotAuthorizedException", "InvalidPasswordException"), code
code, _ = sign_in("nobody@example.com")
assert code == "NotAuthorizedException", code
