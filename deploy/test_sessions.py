"""Tests deploy/sessions.yaml as SAM transforms it: what the roles may do, and how long messages live."""

import json

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from conftest import HERE

PARAMETERS = {
    "TriggerRole": "riskgate-Role", "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbC", "TableName": "history",
    "PseudonymSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf",
}


class NoManagedPolicies:
    def load(self):
        return {}


def transformed(**parameters):
    """Returns the template after `sam package` and the SAM transform."""
    source = yaml_parse((HERE / "sessions.yaml").read_text())
    source["Resources"]["Sessions"]["Properties"]["CodeUri"] = "s3://artifacts/riskgate.zip"
    defaults = {name: parameter.get("Default", "") for name, parameter in source["Parameters"].items()}
    return transform(source, {**defaults, **PARAMETERS, **parameters}, NoManagedPolicies())


@pytest.fixture
def template(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return transformed()


def test_only_one_pool_and_at_most_two_actions(template):
    policies = template["Resources"]["Role"]["Properties"]["Policies"]
    always = [policy for policy in policies if "Fn::If" not in policy]
    actions = {json.dumps(statement["Resource"]): statement["Action"] for policy in always for statement in policy["PolicyDocument"]["Statement"]}
    assert actions[json.dumps({"Ref": "UserPoolArn"})] == [
        {"Fn::If": ["Lists", "cognito-idp:AdminListUserSessions", "cognito-idp:AdminListUserAuthEvents"]},
        {"Fn::If": ["Revokes", "cognito-idp:AdminRevokeUserSession", {"Ref": "AWS::NoValue"}]},
    ]
    assert "*" not in json.dumps(list(actions))


def test_messages_are_encrypted_and_short_lived(template):
    queues = {name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == "AWS::SQS::Queue"}
    assert {name: queue["MessageRetentionPeriod"] for name, queue in queues.items()} == {"Queue": 900, "DeadLetters": 86400}
    assert all(queue["SqsManagedSseEnabled"] for queue in queues.values())
    [function] = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    assert queues["Queue"]["VisibilityTimeout"] >= 6 * function["Timeout"]
    [mapping] = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::EventSourceMapping"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_variables_are_those_of_the_triggers_function():
    triggers, sessions = (yaml_parse((HERE / name).read_text()) for name in ("template.yaml", "sessions.yaml"))
    of_trigger, of_sessions = (
        found["Resources"][name]["Properties"]["Environment"]["Variables"] for found, name in ((triggers, "Gate"), (sessions, "Sessions"))
    )
    missing = {name for name in of_trigger if name not in of_sessions}
    assert all(name.split("_")[1] in ("LISTEN", "ADMIN", "TOKEN", "TRUSTED", "MAX", "DASHBOARD") for name in missing), missing
    assert {name for name in of_sessions if name not in of_trigger} == set()
    # The same parameter overrides fit both stacks, and mean the same.
    for name in triggers["Parameters"].keys() & sessions["Parameters"].keys():
        assert triggers["Parameters"][name].get("Default", "") == sessions["Parameters"][name].get("Default", ""), name
