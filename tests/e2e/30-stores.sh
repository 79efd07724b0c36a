#!/usr/bin/env bash
# What one function process learned of a person, another one knows: through real Redis and through a DynamoDB emulator.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
source "$HERE/cognito/start.sh"
source "$HERE/dynamodb.sh"
key="k1:$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')"

redis_port=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
REDIS_PID=$!
until_listens "$redis_port"
dynamodb riskgate-e2e
cognito_local

for store in "redis://127.0.0.1:$redis_port/0" "dynamodb://riskgate-e2e"; do
  name=${store%%:*}
  # The emulator is slower than the service that it replaces.
  both=(RISKGATE_STORE="$store" RISKGATE_PSEUDONYM_KEY="$key" RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT" RISKGATE_STORE_TIMEOUT=1s)
  lambda_api "${both[@]}"
  PHASE=first python "$HERE/30-stores.py" "$WORK/function.log"
  kill "$FUNCTION_PID"; wait "$FUNCTION_PID" 2>/dev/null || true
  lambda_api "${both[@]}"
  PHASE=second python "$HERE/30-stores.py" "$WORK/function.log"
  kill "$FUNCTION_PID"; wait "$FUNCTION_PID" 2>/dev/null || true
  prove "$name: a second process knows the person that the first one learned, and tells a stranger from her; the ID token carries the claims, after a refresh too"
done

redis-cli -p "$redis_port" --scan | while read -r k; do printf '%s ' "$k"; redis-cli -p "$redis_port" dump "$k"; done >"$WORK/redis.dump"
if grep -aE 'ola@example|81\.2\.69\.142' "$WORK/redis.dump"; then fail "a name or an address is in Redis"; fi
[ -s "$WORK/redis.dump" ] || fail "nothing is in Redis"
prove "no name and no address is in what Redis stores"

# The operator's commands, while the function runs: as docs/RUNBOOK.md has them.
lambda_api RISKGATE_STORE="redis://127.0.0.1:$redis_port/0" RISKGATE_PSEUDONYM_KEY="$key" RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"
operate() { RISKGATE_STORE="redis://127.0.0.1:$redis_port/0" RISKGATE_PSEUDONYM_KEY="$key" "$RISKGATE" "$@" 2>>"$WORK/commands.log"; }
operate block add client "$BACKEND_CLIENT" --for 1h --note 'e2e' >>"$WORK/commands.log"
PHASE=denied python "$HERE/30-stores.py" "$WORK/function.log"
operate block list | grep -q "$BACKEND_CLIENT" || fail "the block does not stand in the list"
operate block remove client "$BACKEND_CLIENT" >>"$WORK/commands.log"
PHASE=let-in python "$HERE/30-stores.py" "$WORK/function.log"
prove "riskgate block keeps an app's people out and lets them in again while the function runs"
sub=$(python -c 'import boto3, os; print(next(a["Value"] for a in boto3.client("cognito-idp").admin_get_user(UserPoolId=os.environ["POOL_ID"], Username="ola@example.com")["UserAttributes"] if a["Name"] == "sub"))')
before=$(operate history export --pool "$POOL_ID" --sub "$sub" | wc -c)
operate history forget --pool "$POOL_ID" --sub "$sub" >>"$WORK/commands.log"
after=$(operate history export --pool "$POOL_ID" --sub "$sub" | wc -c)
[ "$after" -lt "$before" ] || fail "forgotten, yet the export has $after bytes after $before"
prove "riskgate history exports what is stored of a user ($before bytes) and forgets it ($after left)"

# The store is killed under the function.
lambda_api RISKGATE_STORE="redis://127.0.0.1:$redis_port/0" RISKGATE_PSEUDONYM_KEY="$key" RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"
PHASE=before-kill python "$HERE/30-stores.py" "$WORK/function.log"
kill -9 "$REDIS_PID"; wait "$REDIS_PID" 2>/dev/null || true
PHASE=after-kill python "$HERE/30-stores.py" "$WORK/function.log"
prove "Redis killed: people still sign in, none waits, and the audit line says that history was missing"
