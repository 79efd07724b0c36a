"""Sign-in events for the parts, as Cognito sends them."""


def pre_authentication(user="ola", ip=None, client="web-client", pool="us-east-1_e2e", **validation_data):
    if ip:
        validation_data["ip"] = ip
    return {
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "region": "us-east-1", "userPoolId": pool, "userName": user,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client},
        "request": {"userAttributes": {"sub": f"sub-{user}", "cognito:user_status": "CONFIRMED"}, "validationData": validation_data or None},
        "response": {},
    }


def create_challenge(user="ola", client="web-client", pool="us-east-1_e2e"):
    event = pre_authentication(user, client=client, pool=pool)
    event["triggerSource"] = "CreateAuthChallenge_Authentication"
    session = [{"challengeName": name, "challengeResult": True, "challengeMetadata": None} for name in ("SRP_A", "PASSWORD_VERIFIER")]
    event["request"] = {"userAttributes": event["request"]["userAttributes"], "challengeName": "CUSTOM_CHALLENGE", "session": session}
    return event


def authorizer(token):
    return {"type": "TOKEN", "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/GET/orders", "authorizationToken": f"Bearer {token}"}


def post_authentication(user="ola", client="web-client", pool="us-east-1_e2e"):
    event = pre_authentication(user, client=client, pool=pool)
    event["triggerSource"] = "PostAuthentication_Authentication"
    event["request"] = {"userAttributes": event["request"]["userAttributes"], "newDeviceUsed": False}
    return event


def token_generation(user="ola", version="2", source="Authentication", groups=(), client="web-client", pool="us-east-1_e2e"):
    event = pre_authentication(user, client=client, pool=pool)
    event |= {"version": version, "triggerSource": f"TokenGeneration_{source}"}
    event["request"] = {
        "userAttributes": event["request"]["userAttributes"],
        "groupConfiguration": {"groupsToOverride": list(groups), "iamRolesToOverride": [], "preferredRole": None},
        "scopes": ["openid", "profile"],
    }
    event["response"] = {"claimsAndScopeOverrideDetails": None}
    return event
