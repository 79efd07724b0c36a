"""Tests deploy/attach with a user pool in moto, which resets omitted settings as the service does.

Run: python -m pytest deploy/test_attach.py   (needs boto3, moto[cognitoidp,awslambda], pytest)
"""

import io
import json
import zipfile

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.cognitoidp.exceptions import InvalidParameterException
from moto.cognitoidp.models import CognitoIdpUserPool

from conftest import REGION, load

ALL_TRIGGERS = ["PreAuthentication", "PostAuthentication", "PreTokenGenerationConfig"]


attach = load("attach")


@pytest.fixture(autouse=True)
def aws(simulated_aws, monkeypatch):
    answers_as_in_november_2026(monkeypatch)


SESSIONS = {"UserPoolId": "", "UserSessionTracking": "ENABLED", "TokenSession": {"MaxPerUser": 7}}


def answers_as_in_november_2026(monkeypatch):
    """Adds behaviour of the service that moto lacks: default ACR names in every answer, and a DCR configuration that stays if it is omitted."""
    update, describe = CognitoIdpUserPool.update_extended_config, CognitoIdpUserPool.to_json

    def updated(self, config):
        if "DcrConfiguration" in config:
            config["DcrConfiguration"].setdefault("EnableStatus", "Enabled")
        elif "DcrConfiguration" in getattr(self, "extended_config", {}):
            config["DcrConfiguration"] = self.extended_config["DcrConfiguration"]
        levels = config.get("AcrConfiguration")
        if levels is not None and config.get("UserPoolTier", "ESSENTIALS") == "LITE":
            raise InvalidParameterException("AcrConfiguration needs the Essentials tier")
        update(self, config)

    def described(self, extended=False):
        answer = describe(self, extended)
        if extended:
            answer["AcrConfiguration"] = attach.ACR_DEFAULTS | answer.get("AcrConfiguration", {})
        return answer

    monkeypatch.setattr(CognitoIdpUserPool, "update_extended_config", updated)
    monkeypatch.setattr(CognitoIdpUserPool, "to_json", described)
    monkeypatch.setattr(attach.Pool, "read_sessions", lambda self: {**SESSIONS, "UserPoolId": self.id})


def arn(name):
    return f"arn:aws:lambda:{REGION}:123456789012:function:{name}"


# Every setting of UpdateUserPool except the triggers, none at its default. A test below compares the list with the SDK.
SETTINGS = {
    "Policies": {
        "PasswordPolicy": {
            "MinimumLength": 17, "RequireUppercase": True, "RequireLowercase": False, "RequireNumbers": True,
            "RequireSymbols": False, "PasswordHistorySize": 9, "TemporaryPasswordValidityDays": 3,
        },
        "SignInPolicy": {"AllowedFirstAuthFactors": ["PASSWORD", "WEB_AUTHN"]},
    },
    "DeletionProtection": "ACTIVE",
    "AutoVerifiedAttributes": ["email", "phone_number"],
    "SmsVerificationMessage": "sms verification {####}",
    "EmailVerificationMessage": "email verification {####}",
    "EmailVerificationSubject": "verification subject",
    "VerificationMessageTemplate": {
        "SmsMessage": "sms verification {####}", "EmailMessage": "email verification {####}", "EmailSubject": "verification subject",
        "EmailMessageByLink": "by link {##here##}", "EmailSubjectByLink": "link subject", "DefaultEmailOption": "CONFIRM_WITH_LINK",
    },
    "SmsAuthenticationMessage": "sms authentication {####}",
    "UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": ["email"]},
    "MfaConfiguration": "OPTIONAL",
    "DeviceConfiguration": {"ChallengeRequiredOnNewDevice": True, "DeviceOnlyRememberedOnUserPrompt": True},
    "EmailConfiguration": {
        "SourceArn": "arn:aws:ses:us-east-1:123456789012:identity/a@example.com", "ReplyToEmailAddress": "reply@example.com",
        "EmailSendingAccount": "DEVELOPER", "From": "a@example.com", "ConfigurationSet": "set-1",
    },
    "SmsConfiguration": {
        "SnsCallerArn": "arn:aws:iam::123456789012:role/sms", "ExternalId": "ext", "SnsRegion": "eu-west-1",
        "EumsSms": {
            "CallerArn": "arn:aws:iam::123456789012:role/eums", "ExternalId": "ext2", "OriginationIdentity": "pool-1",
            "ConfigurationSetName": "c", "InEntityId": "e", "InTemplateId": "t", "Region": "eu-west-1",
        },
    },
    "UserPoolTags": {"team": "identity", "cost": "42"},
    "AdminCreateUserConfig": {
        "AllowAdminCreateUserOnly": True,
        "InviteMessageTemplate": {"SMSMessage": "{username} {####}", "EmailMessage": "<b>{username}</b> {####}", "EmailSubject": "welcome"},
    },
    "UserPoolAddOns": {"AdvancedSecurityMode": "AUDIT", "AdvancedSecurityAdditionalFlows": {"CustomAuthMode": "AUDIT"}},
    "DcrConfiguration": {
        "EnableStatus": "Enabled", "OpenDcrEnabled": False, "AuthenticatedGrantTypes": ["code"], "OpenDcrGrantTypes": ["code"], "AllowedScopes": ["openid"],
    },
    "AccountRecoverySetting": {"RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}, {"Priority": 2, "Name": "admin_only"}]},
    "UserPoolTier": "PLUS",
    "KeyConfiguration": {"KeyType": "CUSTOMER_MANAGED_KEY", "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k-1"},
    "IssuerConfiguration": {"Type": "UPDATED"},
    "AcrConfiguration": {"Level1": {"AcrValue": "urn:example:silver"}},
}
OTHER_TRIGGERS = {
    **{key: arn(key) for key in (
        "PreSignUp", "CustomMessage", "PostConfirmation", "DefineAuthChallenge", "CreateAuthChallenge", "VerifyAuthChallengeResponse", "UserMigration",
    )},
    **{key: {"LambdaVersion": "V1_0", "LambdaArn": arn(key)} for key in ("CustomSMSSender", "CustomEmailSender", "InboundFederation")},
    "KMSKeyID": "arn:aws:kms:us-east-1:123456789012:key/k-2",
}


def cognito():
    return boto3.client("cognito-idp", region_name=REGION)


def pool(settings=None, triggers=None):
    """Creates a pool with every setting, or with `settings` instead."""
    settings = {**(SETTINGS if settings is None else settings), "LambdaConfig": triggers or {}}
    client = cognito()
    pool_id = client.create_user_pool(PoolName="everything")["UserPool"]["Id"]
    client.update_user_pool(UserPoolId=pool_id, **settings)
    client.set_user_pool_mfa_config(
        UserPoolId=pool_id, MfaConfiguration="OPTIONAL",
        SmsMfaConfiguration={"SmsAuthenticationMessage": "sms {####}", "SmsConfiguration": {"SnsCallerArn": "arn:aws:iam::123456789012:role/sms"}},
        SoftwareTokenMfaConfiguration={"Enabled": True},
    )
    return pool_id


def deploy_function(pool_id, environment=None, principal="cognito-idp.amazonaws.com"):
    """Deploys riskgate as the template does: a published version with the alias `live`, which one pool may call."""
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", "")
    client = boto3.client("lambda", region_name=REGION)
    client.create_function(
        FunctionName="riskgate", Runtime="provided.al2023", Role=role, Handler="bootstrap", Code={"ZipFile": archive.getvalue()},
        Publish=True, Environment={"Variables": environment or {}},
    )
    client.create_alias(FunctionName="riskgate", Name="live", FunctionVersion="1")
    client.add_permission(
        FunctionName="riskgate", Qualifier="live", StatementId="cognito", Action="lambda:InvokeFunction", Principal=principal,
        SourceAccount="123456789012", SourceArn=f"arn:aws:cognito-idp:{REGION}:123456789012:userpool/{pool_id}",
    )
    return arn("riskgate:live")


def attachable_pool():
    """Creates a pool and deploys the function for it."""
    pool_id = pool()
    deploy_function(pool_id)
    return pool_id


def state(pool_id):
    answer = cognito().describe_user_pool(UserPoolId=pool_id)["UserPool"]
    mfa = cognito().get_user_pool_mfa_config(UserPoolId=pool_id)
    return {k: v for k, v in answer.items() if k not in ("LastModifiedDate",)}, {k: v for k, v in mfa.items() if k != "ResponseMetadata"}


def run(*argv):
    return attach.main([*argv, "--yes"])


def leaves(shape, path=""):
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from leaves(member, f"{path}.{name}" if path else name)
    else:
        yield path


def change_client(monkeypatch, changed, change):
    """Applies `change` to each boto3 client of a service."""
    original = boto3.Session.client

    def client(self, service, **kwargs):
        made = original(self, service, **kwargs)
        if service == changed:
            change(made)
        return made

    monkeypatch.setattr(boto3.Session, "client", client)


def test_the_test_pool_sets_every_setting():
    shape = cognito().meta.service_model.operation_model("UpdateUserPool").input_shape
    ours = attach.flat({**SETTINGS, "LambdaConfig": {**OTHER_TRIGGERS, **{k: {} for k in ALL_TRIGGERS}}})
    missing = [leaf for leaf in leaves(shape) if not any(f"{path}.".startswith(f"{leaf}.") or leaf.startswith(f"{path}.") for path in ours)]
    # The two names that identify the pool, the older name of the token trigger, and the older name of
    # TemporaryPasswordValidityDays, which has a separate test.
    assert missing == [
        "UserPoolId", "LambdaConfig.PreTokenGeneration", "AdminCreateUserConfig.UnusedAccountValidityDays", "PoolName",
    ]


def test_apply_changes_only_the_triggers_and_undo_restores_them():
    pool_id = pool(triggers=OTHER_TRIGGERS)
    alias = deploy_function(pool_id)
    before = state(pool_id)

    assert run("apply", pool_id) == 0
    after = state(pool_id)
    assert after[0]["LambdaConfig"] == {
        **OTHER_TRIGGERS, "PreAuthentication": alias, "PostAuthentication": alias,
        "PreTokenGenerationConfig": {"LambdaVersion": "V2_0", "LambdaArn": alias},
    }
    assert {**after[0], "LambdaConfig": None} == {**before[0], "LambdaConfig": None}
    assert after[1] == before[1]

    assert run("undo", pool_id) == 0
    assert state(pool_id) == before


def test_moto_resets_omitted_settings():
    """The test above relies on this: it would detect an incomplete update."""
    pool_id = pool()
    before = state(pool_id)
    cognito().update_user_pool(UserPoolId=pool_id, LambdaConfig={"PreAuthentication": arn("x:live")})
    after = state(pool_id)
    lost = [name for name in SETTINGS if before[0].get(name) != after[0].get(name)]
    assert len(lost) > 12, lost


def test_undo_preserves_later_changes():
    pool_id = pool(triggers={"PreSignUp": arn("a")})
    deploy_function(pool_id)
    before = state(pool_id)
    assert run("apply", pool_id) == 0
    settings = attach.sendable(attach.Pool(cognito(), pool_id).read())
    settings["DeletionProtection"] = "INACTIVE"
    cognito().update_user_pool(UserPoolId=pool_id, **settings)
    assert run("undo", pool_id) == 0
    assert state(pool_id)[0] == {**before[0], "DeletionProtection": "INACTIVE"}


def test_undo_works_without_the_function():
    pool_id = attachable_pool()
    before = state(pool_id)
    assert run("apply", pool_id) == 0
    boto3.client("lambda", region_name=REGION).delete_function(FunctionName="riskgate")
    assert run("undo", pool_id) == 0
    assert state(pool_id) == before


def test_undo_without_a_backup_removes_our_triggers(tmp_path):
    pool_id = pool(triggers={"PreSignUp": arn("a")})
    deploy_function(pool_id)
    assert run("apply", pool_id) == 0
    for file in tmp_path.glob("*.json"):
        file.unlink()
    assert run("undo", pool_id) == 1
    assert run("undo", pool_id, "--without-backup") == 0
    assert state(pool_id)[0]["LambdaConfig"] == {"PreSignUp": arn("a")}


@pytest.mark.parametrize("key,value", [
    ("PreAuthentication", arn("theirs")),
    ("PostAuthentication", arn("theirs:prod")),
    ("PreTokenGenerationConfig", {"LambdaVersion": "V1_0", "LambdaArn": arn("riskgate2:live")}),
    ("PreTokenGeneration", arn("theirs")),
])
def test_a_foreign_trigger_is_refused(key, value, capsys, tmp_path):
    pool_id = pool(triggers={key: value})
    deploy_function(pool_id)
    before = state(pool_id)
    assert run("apply", pool_id) == 1
    assert "not riskgate's" in capsys.readouterr().err
    assert run("check", pool_id) == 1
    assert state(pool_id) == before
    assert not list(tmp_path.glob("*.json"))


def test_a_trigger_can_be_omitted():
    theirs = {"LambdaVersion": "V1_0", "LambdaArn": arn("theirs")}
    pool_id = pool(triggers={"PreTokenGenerationConfig": theirs})
    alias = deploy_function(pool_id)
    assert run("apply", pool_id, "--triggers", "pre,post") == 0
    assert state(pool_id)[0]["LambdaConfig"] == {"PreAuthentication": alias, "PostAuthentication": alias, "PreTokenGenerationConfig": theirs}


def test_another_alias_of_the_same_function_is_ours():
    pool_id = pool(triggers={"PreAuthentication": arn("riskgate:old"), "PreTokenGeneration": arn("riskgate")})
    alias = deploy_function(pool_id)
    assert run("apply", pool_id) == 0
    config = state(pool_id)[0]["LambdaConfig"]
    assert (config["PreAuthentication"], config["PreTokenGeneration"], config["PreTokenGenerationConfig"]["LambdaArn"]) == (alias,) * 3


def test_a_trusted_client_needs_a_secret(capsys):
    pool_id = pool()
    client = cognito()
    with_secret, without = (
        client.create_user_pool_client(UserPoolId=pool_id, ClientName="c", GenerateSecret=secret)["UserPoolClient"]["ClientId"] for secret in (True, False)
    )
    deploy_function(pool_id, {"RISKGATE_TRUSTED_CLIENTS": f"{with_secret}, {without}"})
    before = state(pool_id)
    assert run("apply", pool_id) == 1
    text = capsys.readouterr().err
    assert f"{without} has no secret" in text and with_secret not in text
    assert state(pool_id) == before
    assert run("apply", pool_id, "--trusted-clients", with_secret) == 0


@pytest.mark.parametrize("client,words", [
    ({"ClientSecret": "s"}, None),
    ({"ClientSecret": "s", "ClientType": "REGULAR"}, None),
    ({"ClientSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}, None),
    ({"ClientType": "REGULAR"}, "has no secret"),
    ({"ClientSecret": "s", "ClientType": "DCR"}, "registered by the app"),
    ({"ClientSecretArn": "arn:s", "ClientType": "DCR"}, "registered by the app"),
])
def test_every_kind_of_client_is_classified(client, words, monkeypatch, capsys):
    pool_id = pool()
    deploy_function(pool_id, {"RISKGATE_TRUSTED_CLIENTS": "c-1"})
    monkeypatch.setattr(attach.Pool, "client", lambda self, _: client)
    assert run("apply", pool_id) == (1 if words else 0)
    assert (words or "") in capsys.readouterr().err


def test_default_names_of_levels_are_not_sent_and_others_are(monkeypatch):
    defaults = attach.ACR_DEFAULTS
    assert "AcrConfiguration" not in attach.sendable({"AcrConfiguration": defaults})
    own = {**defaults, "Level2": {"AcrValue": "urn:example:gold"}}
    assert attach.sendable({"AcrConfiguration": own})["AcrConfiguration"] == own
    # A Lite pool returns the names too, and refuses them.
    pool_id = pool({"Policies": SETTINGS["Policies"], "UserPoolTier": "LITE"})
    deploy_function(pool_id)
    assert state(pool_id)[0]["AcrConfiguration"] == defaults
    assert run("apply", pool_id) == 0
    assert state(pool_id)[0]["AcrConfiguration"] == defaults


def test_registration_stays_unchanged():
    for dcr in [{"EnableStatus": "Disabled"}, {"OpenDcrEnabled": True, "EnableStatus": "Enabled"}, None]:
        settings = {k: v for k, v in {**SETTINGS, "DcrConfiguration": dcr}.items() if v is not None}
        assert "DcrConfiguration" not in attach.sendable(settings)
    pool_id = pool({**SETTINGS, "DcrConfiguration": {"EnableStatus": "Disabled"}})
    deploy_function(pool_id)
    assert run("apply", pool_id) == 0
    assert state(pool_id)[0]["DcrConfiguration"] == {"EnableStatus": "Disabled"}


def test_changed_session_settings_are_reported(monkeypatch, capsys):
    pool_id = attachable_pool()
    answers = iter([SESSIONS, {**SESSIONS, "UserSessionTracking": "DISABLED"}])
    monkeypatch.setattr(attach.Pool, "read_sessions", lambda self: next(answers))
    assert run("apply", pool_id) == 1
    assert "UserSessionTracking" in capsys.readouterr().err


@pytest.fixture
def tracked(monkeypatch):
    """Session settings that can be read and written."""
    now = {"UserSessionTracking": "DISABLED", "TokenSession": {"MaxPerUser": 20}}
    monkeypatch.setattr(attach.Pool, "read_sessions", lambda self: {**now, "UserPoolId": self.id})
    monkeypatch.setattr(attach.Pool, "write_sessions", lambda self, settings: now.update(settings))
    return now


def test_session_tracking_is_changed_only_when_asked_for(tracked, capsys):
    pool_id = attachable_pool()
    assert run("apply", pool_id) == 0
    assert tracked["UserSessionTracking"] == "DISABLED"
    assert run("apply", pool_id, "--session-tracking") == 0
    assert tracked == {"UserSessionTracking": "ENABLED", "TokenSession": {"MaxPerUser": 100}}
    assert "signs the device out" in capsys.readouterr().out
    assert run("apply", pool_id, "--session-tracking", "--max-sessions", "30") == 0
    assert tracked["TokenSession"]["MaxPerUser"] == 30
    assert run("undo", pool_id, "--session-tracking", "--without-backup") == 0
    assert tracked["UserSessionTracking"] == "DISABLED"


def test_sessions_that_cannot_be_looked_up_are_found(tracked, capsys):
    pool_id = pool()
    deploy_function(pool_id, {"RISKGATE_SESSION_QUEUE": "https://sqs.us-east-1.amazonaws.com/1/q"})
    assert run("check", pool_id) == 1
    assert "session tracking is off in this pool" in capsys.readouterr().out


def test_a_pool_without_permission_is_refused(capsys):
    pool_id = pool()
    deploy_function("us-east-1_another")
    assert run("apply", pool_id) == 1
    assert "UserPoolArn" in capsys.readouterr().err


def test_a_pool_that_is_not_served_is_refused(capsys):
    pool_id = pool()
    deploy_function(pool_id, {"RISKGATE_POOLS": "us-east-1_another"})
    assert run("apply", pool_id) == 1
    assert "RISKGATE_POOLS does not name" in capsys.readouterr().err


@pytest.mark.parametrize("by_option", [True, False])
def test_native_step_up_needs_token_events_of_version_2(by_option, capsys):
    pool_id = pool()
    deploy_function(pool_id, {} if by_option else {"RISKGATE_STEP_UP_POOLS": f"us-east-1_other,https://id.example/{pool_id}"})
    option = ["--step-up"] if by_option else []
    assert run("check", pool_id, "--token-version", "V1_0", *option) == 1
    assert "cannot remove aws.cognito.signin.user.admin" in capsys.readouterr().out
    assert run("apply", pool_id, "--token-version", "V1_0", *option) == 1
    assert "riskgate" not in str(state(pool_id)[0]["LambdaConfig"])
    assert run("check", pool_id, "--triggers", "pre,post", *option) == 1
    assert "needs the token trigger" in capsys.readouterr().out
    assert run("check", pool_id, *option) == 0


def test_without_native_step_up_version_1_is_enough():
    pool_id = pool()
    deploy_function(pool_id)
    assert run("check", pool_id, "--token-version", "V1_0") == 0


def test_a_setting_unknown_to_the_sdk_is_refused(monkeypatch, capsys):
    """An older boto3 would drop the setting when it reads the pool, and the update would reset it."""
    pool_id = attachable_pool()
    before = state(pool_id)

    def older(made):
        del made.meta.service_model._service_description["shapes"]["PasswordPolicyType"]["members"]["PasswordHistorySize"]

    with monkeypatch.context() as patch:
        change_client(patch, "cognito-idp", older)
        assert run("apply", pool_id) == 1
        assert "Policies.PasswordPolicy.PasswordHistorySize" in capsys.readouterr().err
    assert state(pool_id) == before


def test_a_pool_with_an_authenticator_app_only(monkeypatch):
    """The service refuses MfaConfiguration in the update of such a pool; a separate call has to set it."""
    pool_id = pool({"Policies": SETTINGS["Policies"], "UserPoolTier": "LITE"})
    alias = deploy_function(pool_id)
    mfa = state(pool_id)[1]
    update, calls = attach.Pool.write, []

    def write(self, settings, factors):
        def refuse(params, **_):
            calls.append("MfaConfiguration" in params)
            if "MfaConfiguration" in params:
                message = "SMS configuration and Auto verification for phone_number are required when MFA is required/optional"
                raise ClientError({"Error": {"Code": "InvalidParameterException", "Message": message}}, "UpdateUserPool")

        self.cognito.meta.events.register("provide-client-params.cognito-idp.UpdateUserPool", refuse)
        return update(self, settings, factors)

    monkeypatch.setattr(attach.Pool, "write", write)
    assert run("apply", pool_id) == 0
    assert calls == [True, False]
    assert state(pool_id)[1] == mfa
    assert state(pool_id)[0]["LambdaConfig"]["PreTokenGenerationConfig"] == {"LambdaVersion": "V1_0", "LambdaArn": alias}


def test_settings_that_may_not_be_sent_are_omitted():
    settings = {
        "Policies": {"PasswordPolicy": {"TemporaryPasswordValidityDays": 7}}, "AdminCreateUserConfig": {"UnusedAccountValidityDays": 7, "AllowAdminCreateUserOnly": True},
        "UserPoolTags": {"aws:cloudformation:stack-name": "s", "team": "t"},
    }
    sent = attach.sendable(settings)
    assert sent["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert sent["UserPoolTags"] == {"team": "t"}
    older = {"AdminCreateUserConfig": {"UnusedAccountValidityDays": 7}}
    assert attach.sendable(older) == older


def test_the_backup_is_complete_and_readable_by_its_owner_only(tmp_path):
    pool_id = pool(triggers=OTHER_TRIGGERS)
    deploy_function(pool_id)
    assert run("apply", pool_id) == 0
    [file] = tmp_path.glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    saved = json.loads(file.read_text())["settings"]
    assert {k: saved[k] for k in SETTINGS} == {**SETTINGS, "AcrConfiguration": attach.ACR_DEFAULTS | SETTINGS["AcrConfiguration"]}
    assert saved["LambdaConfig"] == OTHER_TRIGGERS


def test_it_requires_confirmation(capsys):
    pool_id = attachable_pool()
    before = state(pool_id)
    assert attach.main(["apply", pool_id]) == 1
    out = capsys.readouterr()
    assert "say --yes" in out.err and "+ arn:aws:lambda" in out.out
    assert state(pool_id) == before


def test_a_second_apply_changes_nothing(capsys):
    pool_id = attachable_pool()
    assert run("apply", pool_id) == 0
    assert run("apply", pool_id) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert run("check", pool_id) == 0


def test_a_function_that_fails_the_check_is_not_attached(monkeypatch, capsys):
    pool_id = attachable_pool()
    before = state(pool_id)

    def client(made):
        made.invoke = lambda **_: {"Payload": io.BytesIO(b'{"errorMessage": "exit status 1"}'), "FunctionError": "Unhandled"}

    change_client(monkeypatch, "lambda", client)
    assert run("apply", pool_id) == 1
    assert "fails when it is called" in capsys.readouterr().err
    assert state(pool_id) == before


CHALLENGE_TRIGGERS = ["DefineAuthChallenge", "CreateAuthChallenge", "VerifyAuthChallengeResponse"]
CODES = {"RISKGATE_CHALLENGE_FROM": "Example <security@example.com>", "RISKGATE_CHALLENGE_AT": "50"}


class Ses:
    """SES out of its sandbox, with one verified domain."""

    class exceptions:
        class NotFoundException(Exception):
            pass

    def __init__(self, production=True, verified=("example.com",)):
        self.production, self.verified = production, verified

    def get_account(self):
        return {"ProductionAccessEnabled": self.production, "SendingEnabled": True}

    def get_email_identity(self, EmailIdentity):
        if EmailIdentity not in self.verified:
            raise self.exceptions.NotFoundException
        return {"VerifiedForSendingStatus": True}


def challenged_pool(monkeypatch, ses=Ses(), env=CODES, **client):
    """A pool with one app client, and SES as given."""
    pool_id = pool(triggers={"PreSignUp": arn("a")})
    alias = deploy_function(pool_id, env)
    settings = {"ExplicitAuthFlows": ["ALLOW_CUSTOM_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"], "PreventUserExistenceErrors": "ENABLED", **client}
    monkeypatch.setattr(attach.Pool, "clients", lambda self: [{"ClientName": "web", "ClientId": "c-1", **settings}])
    session_client = attach.boto3.Session.client
    monkeypatch.setattr(attach.boto3.Session, "client", lambda self, name, **rest: ses if name == "sesv2" else session_client(self, name, **rest))
    return pool_id, alias


def test_challenge_triggers_are_attached_only_on_request(monkeypatch):
    pool_id, alias = challenged_pool(monkeypatch)
    before = state(pool_id)
    assert run("apply", pool_id) == 0
    assert not set(CHALLENGE_TRIGGERS) & state(pool_id)[0]["LambdaConfig"].keys()
    assert run("apply", pool_id, "--challenge") == 0
    config = state(pool_id)[0]["LambdaConfig"]
    assert [config[name] for name in CHALLENGE_TRIGGERS] == [alias] * 3
    assert run("undo", pool_id) == 0
    assert state(pool_id) == before


@pytest.mark.parametrize("client,words", [
    ({"ExplicitAuthFlows": ["ALLOW_CUSTOM_AUTH", "ALLOW_USER_PASSWORD_AUTH"]}, "ALLOW_USER_PASSWORD_AUTH"),
    ({"ExplicitAuthFlows": ["ALLOW_CUSTOM_AUTH", "ALLOW_USER_AUTH", "ALLOW_USER_SRP_AUTH"]}, "ALLOW_USER_AUTH, ALLOW_USER_SRP_AUTH"),
    ({"ExplicitAuthFlows": None}, "ALLOW_USER_SRP_AUTH"),
    ({"ExplicitAuthFlows": ["ALLOW_CUSTOM_AUTH", "ADMIN_NO_SRP_AUTH"]}, "ADMIN_NO_SRP_AUTH"),
    ({"AllowedOAuthFlows": ["code"]}, "managed login"),
    ({"ExplicitAuthFlows": ["ALLOW_REFRESH_TOKEN_AUTH"]}, "no user could be challenged"),
    ({"PreventUserExistenceErrors": "LEGACY"}, "PreventUserExistenceErrors"),
])
def test_a_way_around_the_challenge_is_refused(client, words, monkeypatch, capsys):
    pool_id, _ = challenged_pool(monkeypatch, **client)
    before = state(pool_id)
    assert run("apply", pool_id, "--challenge") == 1
    assert words in capsys.readouterr().err
    assert state(pool_id) == before


def test_a_way_around_can_be_accepted_where_the_restriction_acts(monkeypatch, capsys):
    pool_id, _ = challenged_pool(monkeypatch, ExplicitAuthFlows=["ALLOW_CUSTOM_AUTH", "ALLOW_USER_SRP_AUTH"])
    assert run("apply", pool_id, "--challenge", "--restriction-suffices") == 1
    assert "V1_0" in capsys.readouterr().err
    assert run("apply", pool_id) == 0
    assert run("apply", pool_id, "--challenge", "--restriction-suffices") == 0
    assert "only the restriction of its tokens remains" in capsys.readouterr().out


@pytest.mark.parametrize("ttl,validity,is_refused", [(None, None, False), ("10m", None, True), ("10m", 10, False), ("200s", 3, True), ("180s", 3, False)])
def test_a_session_has_to_outlast_a_code(ttl, validity, is_refused, monkeypatch, capsys):
    env = CODES | ({"RISKGATE_CHALLENGE_CODE_TTL": ttl} if ttl else {})
    pool_id, _ = challenged_pool(monkeypatch, env=env, **({"AuthSessionValidity": validity} if validity else {}))
    assert run("apply", pool_id, "--challenge") == (1 if is_refused else 0)
    assert ("AuthSessionValidity" in capsys.readouterr().err) == is_refused


@pytest.mark.parametrize("ses,env,words", [
    (Ses(production=False), CODES, "sandbox"),
    (Ses(verified=()), CODES, "not a verified identity"),
    (Ses(), {"RISKGATE_CHALLENGE_AT": "50"}, "no code could be sent"),
    (Ses(verified=("security@example.com",)), CODES, None),
    (Ses(production=False), {"RISKGATE_CHALLENGE_WEBHOOK": "https://codes.example.com"}, None),
])
def test_codes_have_to_reach_users(ses, env, words, monkeypatch, capsys):
    pool_id, _ = challenged_pool(monkeypatch, ses, env)
    assert run("apply", pool_id, "--challenge") == (1 if words else 0)
    assert (words or "") in capsys.readouterr().err
