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

# A name server that takes every question and answers none, behind the system's own resolver, which waits five seconds for each.
start name-server python -u -c '
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.99", 53))
while True:
    print(server.recv(512)[12:])
'
echo 'nameserver 127.0.0.99' >"$WORK/resolv.conf"
printf '#!/usr/bin/env bash\nmount --bind "%s" /etc/resolv.conf\nexec "%s" "$@"\n' "$WORK/resolv.conf" "$RISKGATE" >"$WORK/inside"
printf '#!/usr/bin/env bash\nexec unshare --mount "%s" "$@"\n' "$WORK/inside" >"$WORK/nameless"
chmod +x "$WORK/inside" "$WORK/nameless"
variables=(RISKGATE_PROVIDERS=http RISKGATE_HTTP_URL=https://risk.example.com/score RISKGATE_FALLBACK=deny)

RISKGATE=$WORK/nameless lambda_api "${variables[@]}" RISKGATE_TRUSTED_CLIENTS="$BACKEND_CLIENT"
FALLBACK=deny python "$HERE/25-outage.py"
grep -q '"http":"connect"' "$WORK/function.log" || fail "no audit line names the service that has no address"
# What ends is timed: a look-up that hangs must not hold the process.
ends() { local began=$EPOCHREALTIME code=0; kill -TERM "$1"; wait "$1" || code=$?; equal "exit code of the $2" 0 $code; python -c "import sys; sys.exit($EPOCHREALTIME - $began > 1.5)" || fail "the $2 took too long to end"; }
ends "$FUNCTION_PID" function

sidecar=$(free_port)
start sidecar env "${variables[@]}" "$WORK/nameless" serve --listen "127.0.0.1:$sidecar"
sidecar_pid=$!
until_listens "$sidecar"
for n in 1 2 3; do
  answer=$(curl -sS -w ' %{time_total}' -H 'Content-Type: application/json' -d '{"user":"ada-'$n'","ip":"2.26.53.'$n'"}' "http://127.0.0.1:$sidecar/v1/assess")
  [[ $answer == *'"http":"connect"'* && $answer == *'"decision":"deny"'* ]] || fail "the sidecar answered $answer"
  python -c "import sys; sys.exit(${answer##* } > 2.55)" || fail "the sidecar took ${answer##* } s"
done
ends "$sidecar_pid" sidecar
grep -q example "$WORK/name-server.log" || fail "the name server was never queried"
prove "with a name server that never answers both modes fall back within the budget, and end at once on SIGTERM"
