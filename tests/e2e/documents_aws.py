"""AWS for the commands of docs/RUNBOOK.md: moto, with riskgate behind Lambda's Invoke API.

  documents_aws.py serve PORT MOTO RISKGATE    invocations go to riskgate's Invoke API, all other calls to moto
  documents_aws.py prepare STATE               makes the pool, the function and its log; prints the pool's id
  documents_aws.py verify STATE                what the runbook's commands changed is what they may change
"""

import io
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

# Everything that the emergency commands must preserve.
VARIABLES = {
    "RISKGATE_MODE": "enforce", "RISKGATE_MODE__web": "enforce", "RISKGATE_DENY_AT": "83", "RISKGATE_DENY_MESSAGE": 'a "quoted", odd \\ sentence: $HOME',
    "RISKGATE_STORE": "dynamodb://riskgate", "RISKGATE_PSEUDONYM_KEY": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I",
}
STACK = {
    "Resources": {
        "History": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            },
        },
    },
    "Outputs": {"TableName": {"Value": {"Ref": "History"}}},
}


def serve(port, moto, riskgate):
    class Proxy(BaseHTTPRequestHandler):
        def do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            origin = riskgate if self.path.split("?")[0].endswith("/invocations") else moto
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "expect")}
            request = urllib.request.Request(origin + self.path, data=body or None, headers=headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request, timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            text = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do

    ThreadingHTTPServer(("127.0.0.1", int(port)), Proxy).serve_forever()


def pool_settings(pool):
    settings = boto3.client("cognito-idp").describe_user_pool(UserPoolId=pool)["UserPool"]
    return json.loads(json.dumps({k: v for k, v in settings.items() if k not in ("LastModifiedDate", "LambdaConfig")}, default=str))


def prepare(state):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", "riskgate")
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    function = boto3.client("lambda")
    function.create_function(
        FunctionName="riskgate", Runtime="provided.al2023", Role=role, Handler="bootstrap", Code={"ZipFile": archive.getvalue()}, Publish=True,
        Environment={"Variables": VARIABLES | {"RISKGATE_MODE": "monitor"}},
    )
    function.update_function_configuration(FunctionName="riskgate", Environment={"Variables": VARIABLES})
    version = function.publish_version(FunctionName="riskgate")["Version"]
    alias = function.create_alias(FunctionName="riskgate", Name="live", FunctionVersion=version)["AliasArn"]
    pool = boto3.client("cognito-idp").create_user_pool(
        PoolName="p", Policies={"PasswordPolicy": {"MinimumLength": 17}}, MfaConfiguration="OFF", UserPoolTags={"team": "identity"},
        # README.md attaches riskgate, and docs/RUNBOOK.md detaches it.
        LambdaConfig={"CustomMessage": alias.replace("riskgate:live", "other")},
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True}, DeletionProtection="ACTIVE",
    )["UserPool"]
    function.add_permission(
        FunctionName="riskgate", Qualifier="live", StatementId="cognito", Action="lambda:InvokeFunction", Principal="cognito-idp.amazonaws.com", SourceArn=pool["Arn"]
    )
    # moto's CloudFormation makes no secrets.
    secret = boto3.client("secretsmanager").create_secret(Name="pseudonyms", SecretString=VARIABLES["RISKGATE_PSEUDONYM_KEY"].removeprefix("k1:"))
    stack = STACK | {"Outputs": STACK["Outputs"] | {"PseudonymSecretArn": {"Value": secret["ARN"]}}}
    boto3.client("cloudformation").create_stack(StackName="riskgate", TemplateBody=json.dumps(stack))
    log, now = boto3.client("logs"), int(time.time() * 1000)
    log.create_log_group(logGroupName="/aws/lambda/riskgate")
    log.create_log_stream(logGroupName="/aws/lambda/riskgate", logStreamName="s")
    lines = [line for line in pathlib.Path(state, "audit.jsonl").read_text().splitlines() if line.strip()]
    log.put_log_events(logGroupName="/aws/lambda/riskgate", logStreamName="s", logEvents=[{"timestamp": now, "message": line} for line in lines])
    pathlib.Path(state, "before.json").write_text(json.dumps({"pool": pool["Id"], "settings": pool_settings(pool["Id"])}))
    print(pool["Id"])


def verify(state):
    before = json.loads(pathlib.Path(state, "before.json").read_text())
    assert pool_settings(before["pool"]) == before["settings"], "a setting of the pool other than its triggers has changed"
    triggers = boto3.client("cognito-idp").describe_user_pool(UserPoolId=before["pool"])["UserPool"]["LambdaConfig"]
    assert list(triggers) == ["CustomMessage"], f"riskgate is detached, the other trigger is not: {triggers}"
    function = boto3.client("lambda")
    versions = {v["Version"]: v["Environment"]["Variables"] for v in function.list_versions_by_function(FunctionName="riskgate")["Versions"]}
    emergency = VARIABLES | {"RISKGATE_MODE": "monitor", "RISKGATE_MODE__web": "monitor"}
    assert versions["3"] == emergency, f"the emergency version has all variables, and only its modes differ: {versions['3']}"


if __name__ == "__main__":
    {"serve": serve, "prepare": prepare, "verify": verify}[sys.argv[1]](*sys.argv[2:])
