#!/usr/bin/env bash
# An outside service that takes connections and never answers: what a person signing in with an SDK sees and waits for.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
source "$HERE/cognito/start.sh"

hole=$(free_port)
start black-hole python -c '
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
held = []
while True:
    held.append(listener.accept())
' "$hole"
until_listens "$hole"
cognito_local

for fallback in local allow deny; do
  lambda_api RISKGATE_PROVIDERS=http RISKGATE_HTTP_URL="http://127.0.0.1:$hole/score" RISKGATE_FALLBACK=$fallback RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"
  FALLBACK=$fallback python "$HERE/25-outage.py"
  grep -q '"http":"timeout"' "$WORK/function.log" || fail "no audit line names the service that timed out"
done
prove "with the service hanging every sign-in is answered inside the budget, by the configured fallback, and the audit line names the service"
