"""The custom resource that attaches riskgate's triggers to a user pool that the stack does not own, with the logic of deploy/attach.

Properties: Pool, Function (the alias's ARN), Triggers, TokenVersion, Challenge, RestrictionSuffices; docs/DEPLOY.md describes them as props.
The pool's settings are stored in the secret BACKUP_SECRET before each change.
"""

import json
import os
import pathlib
import urllib.request

import attach
import boto3

TEMPORARY = "/tmp"


def arguments(verb, properties):
    """Returns the arguments of deploy/attach that the resource's properties stand for."""
    argv = [verb, properties["Pool"], "--function", properties["Function"], "--triggers", properties["Triggers"], "--yes", "--backup-dir", TEMPORARY]
    if properties.get("TokenVersion"):
        argv += ["--token-version", properties["TokenVersion"]]
    # CloudFormation sends booleans as text.
    argv += ["--challenge"] if properties.get("Challenge") == "true" else []
    argv += ["--restriction-suffices"] if properties.get("RestrictionSuffices") == "true" else []
    return attach.parse(argv)


def store_backup(*details):
    """Writes a backup like deploy/attach, and stores it where it outlives the function."""
    path = write_backup(*details)
    boto3.client("secretsmanager").put_secret_value(SecretId=os.environ["BACKUP_SECRET"], SecretString=pathlib.Path(path).read_text())
    return f"{os.environ['BACKUP_SECRET']} in Secrets Manager"


write_backup, attach.write_backup = attach.write_backup, store_backup


def apply(properties):
    args = arguments("apply", properties)
    pool, function = attach.connect(args)
    before, mfa = pool.read(), pool.read_mfa()
    found = attach.obstacles(pool, before, function, args)
    if found:
        raise attach.Refused("; ".join(["nothing was changed", *found]))
    function.probe()
    # An earlier deployment may have attached more triggers.
    after = attach.attached(attach.restored(before, function, {}), function, args.keys, args.token_version)
    attach.change(pool, function, args, before, after, mfa, "apply")


def undo(properties):
    args = arguments("undo", properties)
    try:
        pool, function = attach.connect(args)
    except attach.ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            print("the user pool does not exist any more")
            return
        raise
    before, mfa = pool.read(), pool.read_mfa()
    attach.change(pool, function, args, before, attach.restored(before, function, {}), mfa, "undo")


def respond(event, status, reason):
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": status, "Reason": reason, "PhysicalResourceId": event["ResourceProperties"]["Pool"]}
    if event["RequestType"] == "Delete":
        answer["PhysicalResourceId"] = event["PhysicalResourceId"]
    # The signature of the URL covers an empty content type.
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(answer).encode(), headers={"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request, timeout=20).close()


def handler(event, _context):
    properties = event["ResourceProperties"]
    try:
        if event["RequestType"] != "Delete":
            apply(properties)
        elif event["PhysicalResourceId"] == properties["Pool"]:
            undo(properties)
    except Exception as error:  # CloudFormation waits for an answer whatever failed.
        print(f"{type(error).__name__}: {error}")
        respond(event, "FAILED", str(error)[:2000])
    else:
        respond(event, "SUCCESS", "")
