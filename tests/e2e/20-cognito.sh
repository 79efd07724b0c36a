#!/usr/bin/env bash
# Real sign-ins by real SDKs against cognito-local, whose triggers call the release binary.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
source "$HERE/cognito/start.sh"

cognito_local
# A key as `riskgate sign-context` and the verifier know it.
export RISKGATE_CONTEXT_KEYS="k1:HS256:$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')"
lambda_api RISKGATE_MODE=enforce RISKGATE_DENY_CIDRS=81.2.69.0/24 RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"

python "$HERE/20-cognito.py"
prove "boto3: a sign-in is let in and gets its tokens"
prove "boto3: a denial is UserLambdaValidationException with the fixed sentence, for known and unknown names and right and wrong passwords alike"

# What docs/COGNITO.md prints is what runs here.
python "$HERE/snippets.py" "$ROOT/docs/COGNITO.md" "$WORK"
ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
cp "$HERE/20-cognito.mjs" "$WORK/"
page=$(free_port)
start backend env CLIENT_ID="$BACKEND_CLIENT" CLIENT_SECRET="$BACKEND_SECRET" PORT="$page" PROXIES=1 node "$WORK/backend.mjs"
until_listens "$page"
sign() { "$RISKGATE" sign-context --pool "$POOL_ID" --client "$PUBLIC_CLIENT" --user ola@example.com --ip "$1"; }
GOOD_CONTEXT=$(sign 2.26.53.1) BAD_CONTEXT=$(sign 81.2.69.142) BACKEND="http://127.0.0.1:$page" node "$WORK/20-cognito.mjs"
prove "docs/COGNITO.md: the Node backend passes on the address that its proxy saw, and the one the caller invented does not count"
prove "docs/COGNITO.md: the Amplify code signs in with a signed context, and receives a denial"
contexts=$(grep -o '"context":"[a-z]*"' "$WORK/function.log" | sort | uniq -c | tr -s ' \n' ' ')
grep -q '"context":"signed"' "$WORK/function.log" || fail "no context counted as signed: $contexts"
grep -q '"context":"trusted"' "$WORK/function.log" || fail "no context counted as trusted: $contexts"
prove "contexts as riskgate saw them:$contexts"

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
prove "docs/COGNITO.md: a trigger of one's own can call riskgate and return its answer"
