#!/usr/bin/env bash
# The release binary behind a Lambda API, invoked by boto3 and by the AWS SDK for JavaScript.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"

lambda_api RISKGATE_MODE=enforce RISKGATE_DENY_CIDRS=81.2.69.0/24
export AWS_ENDPOINT_URL_LAMBDA=$INVOKE

python "$HERE/10-lambda.py"
prove "boto3: an allowed event comes back exactly as it went in; a denial is a function error with the fixed sentence and an id"

cp "$HERE/10-lambda.mjs" "$WORK/" && ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
node "$WORK/10-lambda.mjs"
prove "AWS SDK for JavaScript: the same"

lines=$(grep -c '"schema"' "$WORK/function.log" || true)
[ "$lines" -ge 6 ] || fail "expected an audit line for each decided sign-in, found $lines"
grep -q '"_aws"' "$WORK/function.log" || fail "no audit line carries an EMF block"
if grep -E 'ola\.nordmann|81\.2\.69\.142|device-e2e-1' "$WORK/function.log"; then fail "a name, an address or a device id is in the log"; fi
prove "one audit line with its EMF block for each sign-in, and no name, address or device id in any log line"
