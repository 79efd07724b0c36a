"""Tests deploy/rollout with a function in moto.

Run: python -m pytest deploy/test_rollout.py   (needs boto3, moto[awslambda,iam], pytest)
"""

import importlib.machinery
import importlib.util
import io
import pathlib
import zipfile

import boto3
import pytest
from moto import mock_aws

loader = importlib.machinery.SourceFileLoader("rollout", str(pathlib.Path(__file__).parent / "rollout"))
rollout = importlib.util.module_from_spec(importlib.util.spec_from_loader("rollout", loader))
loader.exec_module(rollout)

VARIABLES = {"RISKGATE_MODE": "monitor", "RISKGATE_DENY_AT": "83", "RISKGATE_POOLS": "us-east-1_a"}


@pytest.fixture(autouse=True)
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield


def code(text):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", text)
    return archive.getvalue()


@pytest.fixture
def function(aws):
    """Version 1, in monitor mode, behind `live`."""
    client = boto3.client("lambda")
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client.create_function(
        FunctionName="riskgate", Runtime="provided.al2023", Role=role, Handler="bootstrap", Code={"ZipFile": code("one")},
        Publish=True, Environment={"Variables": VARIABLES},
    )
    client.create_alias(FunctionName="riskgate", Name="live", FunctionVersion="1")
    return client


def alias(client):
    answer = client.get_alias(FunctionName="riskgate", Name="live")
    return answer["FunctionVersion"], answer.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def variables(client, version):
    return client.get_function_configuration(FunctionName="riskgate", Qualifier=version)["Environment"]["Variables"]


def test_a_share_differs_only_in_the_mode_and_can_grow_and_end(function):
    assert rollout.main(["enforce", "--share", "5"]) == 0
    assert alias(function) == ("1", {"2": 0.05})
    assert variables(function, "2") == {**VARIABLES, "RISKGATE_MODE": "enforce"}
    assert variables(function, "$LATEST") == VARIABLES

    assert rollout.main(["enforce", "--share", "20"]) == 0
    assert alias(function) == ("1", {"2": 0.2})

    assert rollout.main(["back"]) == 0
    assert alias(function) == ("1", {})


def test_enforce_all_and_back(function):
    assert rollout.main(["enforce", "--share", "100"]) == 0
    assert alias(function) == ("2", {})
    assert rollout.main(["enforce"]) == 1
    assert rollout.main(["back"]) == 0
    assert alias(function) == ("1", {})
    assert rollout.main(["back"]) == 1


def test_back_never_starts_denying(function):
    rollout.main(["enforce", "--share", "5"])
    function.update_function_code(FunctionName="riskgate", ZipFile=code("two"), Publish=True)
    function.update_alias(FunctionName="riskgate", Name="live", FunctionVersion="3", RoutingConfig={"AdditionalVersionWeights": {}})
    assert rollout.main(["back"]) == 0
    assert alias(function) == ("1", {})


def test_code_that_was_never_live_is_not_published(function, capsys):
    function.update_function_code(FunctionName="riskgate", ZipFile=code("two"))
    assert rollout.main(["enforce"]) == 1
    assert "deploy first" in capsys.readouterr().err
    assert alias(function) == ("1", {})


@pytest.mark.parametrize("share", ["0", "-1", "101"])
def test_a_share_is_a_percentage(function, share):
    assert rollout.main(["enforce", f"--share={share}"]) == 1
    assert alias(function) == ("1", {})


def test_status_names_both_versions(function, capsys):
    rollout.main(["enforce", "--share", "5"])
    assert rollout.main(["status"]) == 0
    out = capsys.readouterr().out.splitlines()[-2:]
    assert "95.0 %" in out[0] and "monitor" in out[0]
    assert "5.0 %" in out[1] and "enforce" in out[1]
