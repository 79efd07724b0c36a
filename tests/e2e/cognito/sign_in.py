"""Signs in at the playground's user pool and says what Cognito's caller sees."""

import argparse
import os
import pathlib
import sys
import time

import boto3
from botocore.exceptions import ClientError


def main():
    parser = argparse.ArgumentParser(prog="sign-in", description=__doc__)
    parser.add_argument("--ip", help="the person's address, as the backend saw it")
    parser.add_argument("--user-agent", default="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
    parser.add_argument("--device-id")
    parser.add_argument("--timezone")
    parser.add_argument("--user", default="ola@example.com")
    parser.add_argument("--password", default="Correct-horse-1")
    parser.add_argument("--untrusted", action="store_true", help="through the app's public client, whose word counts upwards only")
    parser.add_argument("--env", default=pathlib.Path(os.environ.get("E2E_CACHE") or pathlib.Path.home() / ".cache/riskgate-e2e") / "playground.env")
    args = parser.parse_args()
    try:
        settings = dict(line.split("=", 1) for line in pathlib.Path(args.env).read_text().splitlines())
    except FileNotFoundError:
        sys.exit("sign-in: start tests/e2e/playground first")
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
        outcome = f"signed in, ID token {answer['AuthenticationResult']['IdToken'][:32]}.."
    except ClientError as error:
        outcome = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    print(f"{outcome}  ({1000 * (time.monotonic() - began):.0f} ms)")


if __name__ == "__main__":
    main()
