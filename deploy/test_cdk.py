"""Compares the CDK construct with the SAM template, and tests the custom resource that attaches triggers to an imported pool.

Run: python -m pytest deploy/test_cdk.py   (needs what test_template.py needs, Node, and deploy/cdk built with npm)
"""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import types

import boto3
import pytest

from conftest import HERE, REGION, load
from test_sessions import transformed as sessions_template
from test_template import source, transformed, variable_parameters

CDK = HERE / "cdk"
NO_VALUE = object()
# CDK writes a reference to the value, SAM none: both resolve to the same.
VALUE_OF_SECRET = ":SecretString:::"


@pytest.fixture(autouse=True)
def region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


# --- the two templates -------------------------------------------------------


@functools.cache
def constructed(which):
    program = CDK / "dist" / "test" / "everything.js"
    assert program.exists(), "deploy/cdk is not built: npm ci && npm run build there"
    return json.loads(subprocess.run(["node", program, which], check=True, capture_output=True, text=True).stdout)


class Resolved:
    """A template with parameters and conditions applied, and every reference as a text with the type that it names."""

    def __init__(self, template, parameters):
        self.template, self.parameters = template, parameters

    def resources(self, type_):
        """Returns the properties of every resource of a type that these parameters create."""
        resources = (r for r in self.template["Resources"].values() if r["Type"] == type_)
        return [self.value(r["Properties"]) for r in resources if "Condition" not in r or self.condition(r["Condition"])]

    def named(self, type_, **properties):
        """Returns the properties of the one resource of a type that has these."""
        found = self.resources(type_)
        [one] = [f for f in found if properties.items() <= f.items()]
        return one

    def condition(self, value):
        if isinstance(value, str):
            return self.condition(self.template["Conditions"][value])
        [(name, of)] = value.items()
        if name == "Condition":
            return self.condition(of)
        if name == "Fn::Not":
            return not self.condition(of[0])
        if name == "Fn::And":
            return all(map(self.condition, of))
        assert name == "Fn::Equals", name
        return self.value(of[0]) == self.value(of[1])

    def value(self, value):
        if isinstance(value, list):
            return [v for v in map(self.value, value) if v is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, of)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return getattr(self, name.removeprefix("Fn::").lower())(of)
        return {k: v for k, v in ((k, self.value(v)) for k, v in value.items()) if v is not NO_VALUE}

    def ref(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.parameters:
            return self.parameters[name]
        if name in self.template["Resources"]:
            return f"<{self.template['Resources'][name]['Type']}>"
        return {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}[name]

    def getatt(self, path):
        resource, attribute = path.split(".", 1) if isinstance(path, str) else path
        return f"<{self.template['Resources'][resource]['Type']}>.{attribute}"

    def sub(self, text):
        return re.sub(r"\$\{([\w:]+)\}", lambda found: self.ref(found[1]), text)

    def join(self, of):
        return of[0].join(self.value(of[1]))

    def split(self, of):
        return self.value(of[1]).split(of[0])

    def select(self, of):
        return self.value(of[1])[int(of[0])]

    def _if(self, of):
        return self.value(of[1] if self.condition(of[0]) else of[2])

    def __getattr__(self, name):
        # `if` cannot be a method's name.
        if name == "if":
            return self._if
        raise AttributeError(name)


def sam(**parameters):
    template = transformed(parameters)
    defaults = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    defaults |= {"SubnetIds": [], "SecurityGroupIds": []}
    return Resolved(template, defaults | parameters)


def both(which, **parameters):
    return Resolved(constructed(which), {}), sam(**parameters)


def environment(stack):
    return stack.named("AWS::Lambda::Function", Runtime="provided.al2023")["Environment"]["Variables"]


def test_the_functions_are_equal():
    cdk, template = both("none")
    functions = [stack.named("AWS::Lambda::Function", Runtime="provided.al2023") for stack in (cdk, template)]
    for function in functions:
        # The archive is elsewhere, the environment has its own tests, and SAM adds a tag that names itself.
        for name in ("Code", "Environment", "Tags"):
            function.pop(name, None)
    assert functions[0] == functions[1]
    assert functions[0]["Timeout"] == 4 and functions[0]["LoggingConfig"]


def test_the_aliases_permissions_and_logs_are_equal():
    cdk, template = both("none", UserPoolArn="arn:aws:cognito-idp:eu-west-1:123456789012:userpool/*")
    for type_, properties in (("AWS::Lambda::Alias", {}), ("AWS::Lambda::Permission", {}), ("AWS::Logs::LogGroup", {}), ("AWS::SecretsManager::Secret", {})):
        made = [stack.named(type_, **properties) for stack in (cdk, template)]
        for version in made:
            version["FunctionVersion"] = re.sub(r"<AWS::Lambda::Version>.*", "", version.get("FunctionVersion", ""))
            version.pop("Tags", None)
        assert made[0] == made[1], type_


def test_the_tables_are_equal():
    cdk, template = (stack.named("AWS::DynamoDB::Table") for stack in both("none"))
    assert cdk == template
    for stack in (constructed("none"), transformed({})):
        retained = {r["Type"] for r in stack["Resources"].values() if r.get("DeletionPolicy") == "Retain"}
        assert {"AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup", "AWS::Lambda::Version"} <= retained


def statements(stack):
    """Returns the allowed actions of the function's role, by resource."""
    allowed = {}
    for role in stack.resources("AWS::IAM::Role"):
        assert role.get("ManagedPolicyArns", []) == []
        for statement in (s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            allowed[statement["Resource"]] = allowed.get(statement["Resource"], set()) | set(actions)
    return allowed


@pytest.mark.parametrize("which", ["none", "all"])
def test_the_roles_allow_the_same_actions_on_the_same_resources(which):
    cdk, template = both(which, **({"KeysSecret": "my/keys"} if which == "all" else {}))
    got, wanted = statements(cdk), statements(template)
    if which == "all":
        # With RISKGATE_STORE set, the construct makes no table.
        assert wanted.pop("<AWS::DynamoDB::Table>.Arn")
    assert got == wanted


def test_the_default_environments_are_equal():
    cdk, template = map(environment, both("none"))
    cdk["RISKGATE_PSEUDONYM_KEY"] = cdk["RISKGATE_PSEUDONYM_KEY"].replace(VALUE_OF_SECRET, "")
    assert cdk == template
    assert set(cdk) == {"RISKGATE_MODE", "RISKGATE_STORE", "RISKGATE_PSEUDONYM_KEY"}


def test_every_variable_reaches_both_functions_with_the_same_value():
    parameters = variable_parameters()
    hidden = {name for name, parameter in source()["Parameters"].items() if parameter.get("NoEcho")}
    given = {parameter: "from-secret" if parameter in hidden else f"value of {variable}" for variable, parameter in parameters.items()}
    cdk, template = map(environment, both("all", KeysSecret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:my/keys", **given))
    # A variable of another function of the template can be set too.
    assert {name: cdk[name] for name in template} == template
    assert len(template) > 110


# --- verified sessions ---------------------------------------------------------


def both_sessions(which, **parameters):
    """The construct with verified sessions and deploy/sessions.yaml."""
    parameters = {
        "TriggerRole": "<AWS::IAM::Role>", "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI", "TableName": "<AWS::DynamoDB::Table>",
        "PseudonymSecretArn": "<AWS::SecretsManager::Secret>", "AlarmTopicArn": "", "SubnetIds": [], "SecurityGroupIds": [],
    } | parameters
    template = sessions_template(**parameters)
    defaults = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    return Resolved(constructed(which), {}), Resolved(template, defaults | parameters)


def of_sessions(stack, type_, name, value):
    return [found for found in stack.resources(type_) if str(found.get(name, "")).startswith(value)]


@pytest.mark.parametrize("type_,name,value", [
    ("AWS::SQS::Queue", "QueueName", "riskgate-sessions"), ("AWS::CloudWatch::Alarm", "AlarmName", "riskgate-session-"),
    ("AWS::Logs::LogGroup", "LogGroupName", "/aws/lambda/riskgate-sessions"), ("AWS::Lambda::EventSourceMapping", "BatchSize", "10"),
    ("AWS::Lambda::Function", "FunctionName", "riskgate-sessions"), ("AWS::SQS::QueuePolicy", "Queues", ""),
])
def test_the_resources_of_verified_sessions_are_equal(type_, name, value):
    cdk, template = (of_sessions(stack, type_, name, value) for stack in both_sessions("sessions"))
    for found in (*cdk, *template):
        for other in ("Code", "Environment", "Tags", "Role"):
            found.pop(other, None)
        if "LogGroupName" in found:
            found["RetentionInDays"] = str(found["RetentionInDays"])
    assert cdk and sorted(map(canonical, cdk)) == sorted(map(canonical, template))


def canonical(value):
    """JSON in which a number is its text, and a list of one its member: CloudFormation accepts both forms."""
    if isinstance(value, dict):
        return json.dumps({name: canonical(inner) for name, inner in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return canonical(value[0]) if len(value) == 1 else json.dumps([canonical(inner) for inner in value])
    return str(value)


def session_policies(stack):
    """Returns the policies of the role that receives messages, by name."""
    [role] = [role for role in stack.resources("AWS::IAM::Role") if "sqs:ReceiveMessage" in str(role)]
    assert role.get("ManagedPolicyArns", []) == []
    # The stack of the sessions has the name of the table, the construct the table itself.
    named, table = "arn:aws:dynamodb:eu-west-1:123456789012:table/<AWS::DynamoDB::Table>", "<AWS::DynamoDB::Table>.Arn"
    parts = lambda statement: canonical({name: statement[name] for name in ("Action", "Resource")}).replace(named, table)
    return {policy["PolicyName"]: [parts(s) for s in policy["PolicyDocument"]["Statement"]] for policy in role["Policies"]}


@pytest.mark.parametrize("which", ["sessions", "all-sessions"])
def test_the_roles_of_verified_sessions_are_equal(which):
    cdk, template = both_sessions(which, **({"KeysSecret": "my/keys", "SessionSource": "value"} if which == "all-sessions" else {}))
    got, wanted = map(session_policies, (cdk, template))
    if which == "all-sessions":
        # With RISKGATE_STORE set, the construct makes no table.
        assert wanted.pop("history")
    assert got == wanted
    [policy] = template.resources("AWS::IAM::RolePolicy")
    sends = policy["PolicyDocument"]["Statement"]
    [other] = [p["PolicyDocument"]["Statement"] for role in cdk.resources("AWS::IAM::Role") for p in role.get("Policies", []) if p["PolicyName"] == policy["PolicyName"]]
    assert [canonical(s["Action"]) for s in sends] == [canonical(s["Action"]) for s in other] == ["sqs:SendMessage"]
    assert sends[0]["Resource"] == other[0]["Resource"] == "<AWS::SQS::Queue>.Arn"


@pytest.mark.parametrize("which", ["sessions", "all-sessions"])
def test_the_session_function_has_the_variables_of_the_triggers_function(which):
    parameters = variable_parameters() if which == "all-sessions" else {}
    hidden = {name for name, parameter in source()["Parameters"].items() if parameter.get("NoEcho")}
    given = {parameter: "from-secret" if parameter in hidden else f"value of {variable}" for variable, parameter in parameters.items()}
    cdk, template = both_sessions(which, **({"KeysSecret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:my/keys", **given} if given else {}))
    functions = [function["Environment"]["Variables"] for function in cdk.resources("AWS::Lambda::Function") if function.get("Runtime") == "provided.al2023"]
    assert len(functions) == 2 and functions[0] == functions[1]
    [wanted] = [function["Environment"]["Variables"] for function in template.resources("AWS::Lambda::Function")]
    got = {name: value.replace(VALUE_OF_SECRET, "") if name == "RISKGATE_PSEUDONYM_KEY" else value for name, value in functions[0].items()}
    assert {name: got[name] for name in wanted} == wanted
    assert wanted["RISKGATE_SESSION_QUEUE"] == "<AWS::SQS::Queue>"


# A service's variables are read only if it is configured.
SERVICES = {
    "RISKGATE_PROVIDERS": "minfraud,http", "RISKGATE_MINFRAUD_ACCOUNT_ID": "1", "RISKGATE_MINFRAUD_LICENSE_KEY": "key", "RISKGATE_HTTP_URL": "https://risk.example.com/",
}


def test_the_accepted_words_of_a_prop_are_those_of_the_variable():
    spec = load("cdk/props.py")
    rows = {row["name"]: row for row in json.loads(subprocess.run([os.environ["RISKGATE"], "config", "--json"], check=True, capture_output=True, text=True).stdout)}
    assert {f"RISKGATE_{name}" for name in (*spec.CHOICES, *spec.LISTS, *spec.NUMBERS)} <= rows.keys()
    for name, choices in spec.CHOICES.items():
        for choice in (*choices, "no-such-word"):
            run = subprocess.run([os.environ["RISKGATE"], "config"], env=SERVICES | {f"RISKGATE_{name}": choice}, capture_output=True, text=True)
            assert (run.returncode == 0) == (choice != "no-such-word"), f"{name}={choice}: {run.stderr}"


# --- the custom resource -----------------------------------------------------


class Answers:
    """CloudFormation's side of a custom resource: takes the answer at the URL of the event."""

    def __init__(self):
        answers = self.all = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                assert self.headers["Content-Type"] == ""
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer"


@pytest.fixture
def resource(simulated_aws, monkeypatch):
    """The handler with a function behind a pool; `send` returns CloudFormation's answer."""
    attach = load("attach")
    monkeypatch.setattr(attach.Pool, "read_sessions", lambda self: None)
    monkeypatch.setattr(attach.Function, "probe", lambda self: {})
    monkeypatch.setitem(sys.modules, "attach", attach)
    secret = boto3.client("secretsmanager").create_secret(Name="backup")["ARN"]
    monkeypatch.setenv("BACKUP_SECRET", secret)
    handler = load("cdk/attach/index.py").handler
    cognito = boto3.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="p", DeletionProtection="ACTIVE", LambdaConfig={"CustomMessage": "arn:aws:lambda:us-east-1:123456789012:function:other"})["UserPool"]
    alias = deployed_function(pool["Arn"])
    answers = Answers()

    def send(request, **properties):
        event = {name: name for name in ("StackId", "RequestId", "LogicalResourceId")} | {"RequestType": request, "ResponseURL": answers.url}
        event["ResourceProperties"] = {
            "Pool": pool["Id"], "Function": alias, "Triggers": "pre,post,token", "Challenge": "false", "RestrictionSuffices": "false",
        } | properties
        if request != "Create":
            event["PhysicalResourceId"] = pool["Id"]
        handler(event, None)
        return answers.all[-1]

    yield types.SimpleNamespace(send=send, pool=pool["Id"], alias=alias, secret=secret, triggers=lambda: triggers(cognito, pool["Id"]), cognito=cognito)
    answers.server.shutdown()


def triggers(cognito, pool):
    return cognito.describe_user_pool(UserPoolId=pool)["UserPool"]["LambdaConfig"]


def deployed_function(pool_arn):
    client = boto3.client("lambda")
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = bytes.fromhex("504b0506" + "00" * 18)
    client.create_function(FunctionName="riskgate", Runtime="provided.al2023", Role=role, Handler="bootstrap", Code={"ZipFile": archive}, Publish=True)
    alias = client.create_alias(FunctionName="riskgate", Name="live", FunctionVersion="1")["AliasArn"]
    client.add_permission(
        FunctionName="riskgate", Qualifier="live", StatementId="c", Action="lambda:InvokeFunction", Principal="cognito-idp.amazonaws.com", SourceArn=pool_arn
    )
    return alias


def test_a_pool_is_attached_changed_and_detached_with_its_stack(resource):
    answer = resource.send("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", resource.pool), answer
    assert {resource.triggers()[name] for name in ("PreAuthentication", "PostAuthentication")} == {resource.alias}
    backup = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=resource.secret)["SecretString"])
    assert backup["settings"]["DeletionProtection"] == "ACTIVE" and "PreAuthentication" not in backup["settings"]["LambdaConfig"]

    assert resource.send("Update", Triggers="pre,post", TokenVersion="V1_0")["Status"] == "SUCCESS"
    assert set(resource.triggers()) == {"CustomMessage", "PreAuthentication", "PostAuthentication"}

    assert resource.send("Delete")["Status"] == "SUCCESS"
    assert set(resource.triggers()) == {"CustomMessage"}
    assert resource.cognito.describe_user_pool(UserPoolId=resource.pool)["UserPool"]["DeletionProtection"] == "ACTIVE"


def test_an_obstacle_fails_the_deployment_and_changes_nothing(resource):
    resource.cognito.update_user_pool(UserPoolId=resource.pool, LambdaConfig={"PreAuthentication": "arn:aws:lambda:us-east-1:123456789012:function:other"})
    before = resource.triggers()
    answer = resource.send("Create")
    assert answer["Status"] == "FAILED" and "nothing was changed" in answer["Reason"] and "function:other" in answer["Reason"]
    assert resource.triggers() == before
    # CloudFormation then deletes what it created.
    assert resource.send("Delete")["Status"] == "SUCCESS"
    assert resource.triggers() == before


def test_a_pool_that_is_gone_does_not_stop_the_deletion_of_the_stack(resource):
    resource.cognito.update_user_pool(UserPoolId=resource.pool, DeletionProtection="INACTIVE")
    resource.cognito.delete_user_pool(UserPoolId=resource.pool)
    assert resource.send("Delete")["Status"] == "SUCCESS"
