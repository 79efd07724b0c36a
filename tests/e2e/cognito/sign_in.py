"""Signs in at the playground's user pool. Shows what Cognito's caller sees and, for a denial, why: that is in riskgate's audit log."""

import argparse
import json
import pathlib
import sys
import time

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError


def why(audit, message):
    """Returns the audit line of a denial, whose id ends the message, in readable form."""
    try:
        lines = [json.loads(line) for line in pathlib.Path(audit).read_text().splitlines()]
    except (OSError, ValueError):
        return ""
    for line in reversed(lines):
        if line.get("action") and line["id"] in message:
            rule = " entry ".join(str(line[name]) for name in ("decided_by", "list_entry") if line.get(name))
            reasons = ", ".join(f"{reason['code']} {reason['weight']:+.1f}" for reason in line["reasons"]) or "none"
            return f"why, in riskgate's audit log: decided by {rule}; score {line['score']:.0f}; reasons: {reasons}"
    return ""


def main():
    parser = argparse.ArgumentParser(prog="sign-in", description=__doc__)
    parser.add_argument("--ip", help="the user's address, as the backend saw it")
    parser.add_argument("--user-agent", default="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
    parser.add_argument("--device-id")
    parser.add_argument("--timezone")
    parser.add_argument("--user", default="ola@example.com")
    parser.add_argument("--password", default="Correct-horse-1")
    parser.add_argument("--untrusted", action="store_true", help="through the app's public client, whose claims can only raise the score")
    parser.add_argument("--env", required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    settings = dict(line.split("=", 1) for line in pathlib.Path(args.env).read_text().splitlines())
    metadata = {"ip": args.ip, "userAgent": args.user_agent, "deviceId": args.device_id, "timezone": args.timezone}
    cognito = boto3.client(
        "cognito-idp", region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local",
        endpoint_url=settings["AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"],
    )
    began = time.monotonic()
    try:
        answer = cognito.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH", ClientId=settings["PUBLIC_CLIENT" if args.untrusted else "BACKEND_CLIENT"],
            AuthParameters={"USERNAME": args.user, "PASSWORD": args.password}, ClientMetadata={k: v for k, v in metadata.items() if v},
        )
    except EndpointConnectionError:
        sys.exit("sign-in: the playground has ended; start tests/e2e/playground again")
    except ClientError as error:
        message = error.response["Error"]["Message"]
        print(f"{error.response['Error']['Code']}: {message}  ({1000 * (time.monotonic() - began):.0f} ms)")
        # riskgate writes the line in the background.
        time.sleep(0.1)
        if explanation := why(settings.get("AUDIT", ""), message):
            print(explanation)
        sys.exit(1)
    print(f"signed in, ID token {answer['AuthenticationResult']['IdToken'][:32]}..  ({1000 * (time.monotonic() - began):.0f} ms)")


if __name__ == "__main__":
    main()
