#!/usr/bin/env bash
# All three triggers through real sign-ins: real SDKs against cognito-local, which calls the release binary.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
source "$HERE/cognito/start.sh"

cognito_local
lambda_api RISKGATE_MODE=enforce RISKGATE_DENY_CIDRS=81.2.69.0/24 RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"

python "$HERE/20-cognito.py"
prove "boto3: a sign-in is let in, and its ID token carries the gate's claims, after a refresh too"
prove "boto3: a denial is UserLambdaValidationException with the fixed sentence, for known and unknown names and right and wrong passwords alike"

# What docs/COGNITO.md prints is what runs here.
python "$HERE/snippets.py" "$ROOT/docs/COGNITO.md" "$WORK"
ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
cp "$HERE/20-cognito.mjs" "$WORK/"
page=$(free_port)
start backend env CLIENT_ID="$BACKEND_CLIENT" CLIENT_SECRET="$BACKEND_SECRET" PORT="$page" PROXIES=1 node "$WORK/backend.mjs"
until_listens "$page"
BACKEND="http://127.0.0.1:$page" node "$WORK/20-cognito.mjs"
prove "docs/COGNITO.md: the Node backend passes on the address that its proxy saw, and the one the caller invented does not count"
prove "docs/COGNITO.md: the Amplify code signs in, and is told of a denial"

(cd "$WORK" && GATE=riskgate:live AWS_ENDPOINT_URL_LAMBDA=$INVOKE python -c '
import sys
sys.path.insert(0, sys.argv[1])
import events
from combined import SignInDenied, handler
event = events.pre_authentication("ola")
assert handler(event, None) == event
try:
    handler(events.pre_authentication("ola", ip="81.2.69.142"), None)
except SignInDenied as denied:
    assert str(denied).startswith("Sign-in was declined"), denied
else:
    raise AssertionError("not denied")
' "$HERE")
prove "docs/COGNITO.md: a trigger of one's own can call the gate and hand on its answer"
