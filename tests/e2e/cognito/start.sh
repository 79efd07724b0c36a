# Sourced after lambda_api.sh: cognito-local with the pre-authentication shim, wired to the function's triggers.

# cognito_local: starts it, sets COGNITO to its address, ADAPTER_PORT to where it will call the function, and makes a
# pool POOL_ID with a public client PUBLIC_CLIENT, a confidential one BACKEND_CLIENT, and the user ola@example.com.
cognito_local() {
  local port
  port=$(free_port) ADAPTER_PORT=${ADAPTER_PORT:-$(free_port)}
  mkdir -p "$WORK/cognito/.cognito"
  # Cognito waits five seconds and may repeat a call that timed out; here it does so twice.
  cat >"$WORK/cognito/.cognito/config.json" <<JSON
{ "LambdaClient": { "endpoint": "http://127.0.0.1:$ADAPTER_PORT", "region": "us-east-1", "maxRetries": 2, "httpOptions": { "timeout": 5000 },
                    "credentials": { "accessKeyId": "local", "secretAccessKey": "local" } },
  "TriggerFunctions": { "PreAuthentication": "PreAuthentication", "PostAuthentication": "PostAuthentication", "PreTokenGeneration": "PreTokenGeneration" } }
JSON
  (cd "$WORK/cognito" && exec env HOST=127.0.0.1 PORT="$port" node -r "$HERE/cognito/preauth-shim.cjs" "$CACHE/node/node_modules/cognito-local/lib/bin/start.js") \
    >"$WORK/cognito-local.log" 2>&1 &
  PIDS+=($!)
  until_listens "$port"
  COGNITO="http://127.0.0.1:$port"
  export AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=$COGNITO
  python "$HERE/cognito/pool.py" >"$WORK/pool.env"
  # shellcheck disable=SC1091
  set -a && . "$WORK/pool.env" && set +a
}
