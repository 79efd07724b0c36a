"""Tests deploy/template.yaml, transformed like SAM and deployed into moto.

Run: python -m pytest deploy/test_template.py   (needs boto3, moto[cloudformation,awslambda,dynamodb,..], aws-sam-translator, pytest)
"""

import ast
import io
import json
import zipfile

import boto3
import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from conftest import HERE, REGION, load



attach = load("attach")


class NoManagedPolicies:
    def load(self):
        return {}


@pytest.fixture(autouse=True)
def aws(simulated_aws, monkeypatch):
    # moto has no session settings; test_attach.py tests them.
    monkeypatch.setattr(attach.Pool, "read_sessions", lambda self: None)


def source():
    return yaml_parse((HERE / "template.yaml").read_text())


def transformed(overrides):
    """Returns the template after `sam package` and the SAM transform."""
    template = source()
    template["Resources"]["Gate"]["Properties"]["CodeUri"] = "s3://artifacts/riskgate.zip"
    template["Resources"]["Watch"]["Properties"]["TemplateURL"] = "https://artifacts.s3.amazonaws.com/watch.yaml"
    parameters = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    return transform(template, {**parameters, **overrides}, NoManagedPolicies())


def deploy(**parameters):
    """Deploys with the given parameters and returns the stack's outputs.

    moto's CloudFormation does not support aliases and their permissions. They are created with the API, from the
    properties of the transformed template. moto does not drop AWS::NoValue from a list either.
    """
    template = transformed(parameters)
    resources, outputs = template["Resources"], template["Outputs"]
    [alias_id] = [name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Alias"]
    [version_id] = [name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Version"]
    alias, permission = resources.pop(alias_id)["Properties"], resources.pop("CognitoMayCall")
    del resources[version_id]
    assert outputs.pop("FunctionAliasArn")["Value"] == {"Ref": alias_id} == permission["Properties"]["FunctionName"]
    assert outputs.pop("Version")["Value"] == alias["FunctionVersion"] == {"Fn::GetAtt": [version_id, "Version"]}
    role = resources["Role"]["Properties"]
    role["Policies"] = [policy for policy in role["Policies"] if "Fn::If" not in policy]

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", "")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="artifacts")
    s3.put_object(Bucket="artifacts", Key="riskgate.zip", Body=archive.getvalue())
    # cfn-lint checks the nested stack of alarms and queries.
    s3.put_object(Bucket="artifacts", Key="watch.yaml", Body=json.dumps({"Resources": {"None": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}}))
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="riskgate", TemplateBody=json.dumps(template, default=str), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    stack = cloudformation.describe_stacks(StackName="riskgate")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack

    client = boto3.client("lambda")
    version = client.publish_version(FunctionName="riskgate")["Version"]
    arn = client.create_alias(FunctionName="riskgate", Name=alias["Name"], FunctionVersion=version)["AliasArn"]
    if parameters.get("UserPoolArn"):
        wanted = permission["Properties"]
        assert wanted["SourceAccount"] == {"Ref": "AWS::AccountId"} and wanted["SourceArn"] == {"Ref": "UserPoolArn"}
        client.add_permission(
            FunctionName="riskgate", Qualifier=alias["Name"], StatementId="cognito", Action=wanted["Action"], Principal=wanted["Principal"],
            SourceAccount="123456789012", SourceArn=parameters["UserPoolArn"],
        )
    else:
        assert permission["Condition"] == "HasPool"
    return {"FunctionAliasArn": arn, **{output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}}


def live():
    return boto3.client("lambda").get_function_configuration(FunctionName="riskgate", Qualifier="live")


def variable_parameters():
    """Returns the parameter of every variable in the function's environment."""
    environment = source()["Resources"]["Gate"]["Properties"]["Environment"]["Variables"]
    given = {variable: value["Fn::If"][1] for variable, value in environment.items()}
    return {variable: value["Fn::If"][2]["Ref"] if "Fn::If" in value else value["Ref"] for variable, value in given.items()}


def test_the_default_stack_is_in_monitor_mode_and_attached_to_no_pool():
    outputs = deploy()
    function = live()
    assert function["Runtime"] == "provided.al2023"
    # (moto drops the architecture)
    assert transformed({})["Resources"]["Gate"]["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
    assert source()["Parameters"]["Architecture"]["Default"] == "arm64"
    assert (function["MemorySize"], function["Timeout"]) == (256, 4)
    assert not function.get("VpcConfig", {}).get("SubnetIds")
    variables = function["Environment"]["Variables"]
    assert variables.pop("RISKGATE_MODE") == "monitor"
    assert variables.pop("RISKGATE_STORE") == f"dynamodb://{outputs['TableName']}"
    assert variables.pop("RISKGATE_PSEUDONYM_KEY").startswith("k1:")
    assert variables == {}
    assert outputs["FunctionAliasArn"].endswith(":function:riskgate:live")
    client = boto3.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName="riskgate", Qualifier="live")
    assert not [r for r in source()["Resources"].values() if r["Type"].startswith("AWS::Cognito")]


def test_the_table_is_on_demand_with_a_maximum_and_expiry():
    table = boto3.client("dynamodb")
    name = deploy(MaxReadUnits="70", MaxWriteUnits="90")["TableName"]
    made = table.describe_table(TableName=name)["Table"]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert made["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    # (moto's CloudFormation drops both)
    wanted = source()["Resources"]["History"]["Properties"]
    assert wanted["TimeToLiveSpecification"] == {"AttributeName": "exp", "Enabled": True}
    assert wanted["OnDemandThroughput"] == {"MaxReadRequestUnits": {"Ref": "MaxReadUnits"}, "MaxWriteRequestUnits": {"Ref": "MaxWriteUnits"}}


def test_every_variable_reaches_the_function():
    values = {variable: f"value of {variable}" for variable in variable_parameters()}
    assert len(values) > 90
    deploy(**{parameter: values[variable] for variable, parameter in variable_parameters().items()})
    assert live()["Environment"]["Variables"] == values


def test_a_key_can_be_in_secrets_manager():
    secret = boto3.client("secretsmanager").create_secret(Name="my/keys", SecretString=json.dumps({"RISKGATE_IPQS_KEY": "key-of-ipqs"}))["Name"]
    deploy(KeysSecret=secret, IpqsKey="from-secret", AbuseipdbKey="given")
    variables = live()["Environment"]["Variables"]
    assert variables["RISKGATE_IPQS_KEY"] == "secretsmanager://my/keys#RISKGATE_IPQS_KEY"
    assert variables["RISKGATE_ABUSEIPDB_KEY"] == "given"
    # (moto does not create a policy with a condition)
    policies = [policy["Fn::If"] for policy in source()["Resources"]["Role"]["Properties"]["Policies"] if "Fn::If" in policy]
    [document] = [policy["PolicyDocument"] for condition, policy, _ in policies if condition == "HasKeysSecret"]
    [statement] = document["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert statement["Resource"]["Fn::If"][1:] == [{"Ref": "KeysSecret"}, {"Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${KeysSecret}-??????"}]


def test_codes_can_be_sent_from_one_identity_only():
    policies = [policy["Fn::If"] for policy in source()["Resources"]["Role"]["Properties"]["Policies"] if "Fn::If" in policy]
    [document] = [policy["PolicyDocument"] for condition, policy, _ in policies if condition == "HasChallengeIdentity"]
    assert document["Statement"] == [{"Effect": "Allow", "Action": ["ses:SendEmail"], "Resource": {"Ref": "ChallengeIdentityArn"}}]


def test_secret_parameters_are_not_echoed():
    template = source()
    environment = template["Resources"]["Gate"]["Properties"]["Environment"]["Variables"]
    stored = {variable for variable, value in environment.items() if "Fn::If" in value["Fn::If"][1]}
    assert {"RISKGATE_IPQS_KEY", "RISKGATE_PSEUDONYM_KEY", "RISKGATE_CONTEXT_KEYS", "RISKGATE_TOKEN", "RISKGATE_HTTP_HEADERS"} <= stored
    hidden = {variable for variable, parameter in variable_parameters().items() if template["Parameters"][parameter].get("NoEcho")}
    assert hidden == stored


def test_the_role_may_do_four_things_to_one_table_and_write_one_log():
    outputs = deploy()
    iam = boto3.client("iam")
    role = live()["Role"].rsplit("/", 1)[1]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    allowed = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in ast.literal_eval(str(document))["Statement"]:
            assert statement["Effect"] == "Allow"
            allowed[statement["Resource"]] = sorted(statement["Action"])
    table = boto3.client("dynamodb").describe_table(TableName=outputs["TableName"])["Table"]["TableArn"]
    assert allowed.pop(table) == ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]
    [(logs, actions)] = allowed.items()
    assert ":log-group:/aws/lambda/riskgate" in logs and actions == ["logs:CreateLogStream", "logs:PutLogEvents"]


def test_attach_and_detach_with_the_deployed_stack(capsys):
    cognito = boto3.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="p", DeletionProtection="ACTIVE")["UserPool"]
    before = cognito.describe_user_pool(UserPoolId=pool["Id"])["UserPool"]
    alias = deploy(UserPoolArn=pool["Arn"])["FunctionAliasArn"]
    assert attach.main(["check", pool["Id"]]) == 0, capsys.readouterr().out
    assert attach.main(["apply", pool["Id"], "--yes"]) == 0
    after = cognito.describe_user_pool(UserPoolId=pool["Id"])["UserPool"]
    assert {after["LambdaConfig"][name] for name in ("PreAuthentication", "PostAuthentication")} == {alias}
    assert after["DeletionProtection"] == "ACTIVE"
    assert attach.main(["undo", pool["Id"], "--yes"]) == 0
    assert cognito.describe_user_pool(UserPoolId=pool["Id"])["UserPool"]["LambdaConfig"] == before.get("LambdaConfig", {})


def test_the_pool_of_another_stack_is_refused(capsys):
    cognito = boto3.client("cognito-idp")
    pools = [cognito.create_user_pool(PoolName=name)["UserPool"] for name in "ab"]
    deploy(UserPoolArn=pools[0]["Arn"])
    assert attach.main(["check", pools[1]["Id"]]) == 1
    assert "UserPoolArn" in capsys.readouterr().out
