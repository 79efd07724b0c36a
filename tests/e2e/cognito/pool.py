"""Makes a user pool with two clients and a user, and prints their ids as a shell file."""

import boto3

cognito = boto3.client("cognito-idp")
pool = cognito.create_user_pool(PoolName="e2e")["UserPool"]["Id"]


def client(name, secret):
    made = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName=name, GenerateSecret=secret, PreventUserExistenceErrors="ENABLED", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    )["UserPoolClient"]
    return made["ClientId"], made.get("ClientSecret", "")


public, _ = client("app", False)
backend, secret = client("backend", True)
cognito.admin_create_user(UserPoolId=pool, Username="ola@example.com", UserAttributes=[{"Name": "email", "Value": "ola@example.com"}], MessageAction="SUPPRESS")
cognito.admin_set_user_password(UserPoolId=pool, Username="ola@example.com", Password="Correct-horse-1", Permanent=True)
print(f"POOL_ID={pool}\nPUBLIC_CLIENT={public}\nBACKEND_CLIENT={backend}\nBACKEND_SECRET={secret}")
