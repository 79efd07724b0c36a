#!/usr/bin/env bash
# The programs and configurations in examples/, run: backends in Node and Python, nginx, Envoy, the embedded engine.
source "$(dirname "$0")/lib.sh"

sidecar=$(free_port) app=$(free_port) authorizer=$(free_port) proxy=$(free_port)
riskgate() { start riskgate env RISKGATE_AUDIT="$WORK/audit.jsonl" RISKGATE_TRUSTED_PROXIES=2 RISKGATE_DENY_CIDRS=81.2.69.0/24 "$RISKGATE" serve --listen "127.0.0.1:$sidecar"; RISKGATE_PID=$!; until_listens "$sidecar"; }
stop() { kill "$1"; wait "$1" 2>/dev/null || true; }
riskgate
url="http://127.0.0.1:$sidecar"

# status ADDRESS ARGUMENT..: the status of a request, as the load balancer on this machine passes it on for a client with that address.
agent='Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'
status() { curl -s -A "$agent" -o "$WORK/answer" -w '%{http_code}' -H "X-Forwarded-For: 9.9.9.9, $1" "${@:2}"; }

for backend in "node $ROOT/examples/backend.mjs" "python $ROOT/examples/backend.py"; do
  port=$(free_port)
  start backend env RISKGATE="$url" PORT="$port" $backend
  until_listens "$port"
  login() { status "$1" "http://127.0.0.1:$port/sign-in" -d "{\"username\":\"ada\",\"password\":\"$2\"}"; }
  equal "$backend: a right password" 200 "$(login 2.26.53.1 'correct horse')"
  equal "$backend: a wrong password" 401 "$(login 2.26.53.1 wrong)"
  equal "$backend: a denied network, although the password is right" 403 "$(login 81.2.69.142 'correct horse')"
  grep -q 'quote [0-9A-Z]\{26\}' "$WORK/answer" || fail "the denial has no id: $(cat "$WORK/answer")"
  equal "$backend: not a form" 400 "$(status 2.26.53.1 "http://127.0.0.1:$port/sign-in" -d 'null')"
  end=$((SECONDS + 10))
  until [ "$(grep -c '"outcome":"\(success\|failure\)"' "$WORK/audit.jsonl")" -ge 2 ]; do [ $SECONDS -lt $end ] || fail "$backend: no outcomes"; sleep 0.05; done
  : >"$WORK/audit.jsonl"
  prove "${backend##*/}: asks, denies with an id, reports outcomes"
done
stop "$RISKGATE_PID"
equal "without riskgate the password decides" 200 "$(login 2.26.53.1 'correct horse')"
prove "a backend goes on when riskgate is gone"
riskgate

# The application behind the proxies repeats the headers that it receives.
start app python -c '
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class App(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        received = [self.headers.get(name) or "" for name in ("X-Riskgate-Id", "X-Riskgate-Action")]
        self.wfile.write("id={} action={}".format(*received).encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()' "$app"
start authorizer env RISKGATE="$url" PORT="$authorizer" python "$ROOT/examples/authorizer.py"
for file in nginx.conf envoy.yaml; do
  sed "s/127.0.0.1:8080/127.0.0.1:$proxy/; s/127.0.0.1:3000/127.0.0.1:$app/; s/127.0.0.1:3001/127.0.0.1:$authorizer/
       s/port_value: 8080/port_value: $proxy/; s/port_value: 3000/port_value: $app/; s/port_value: 3001/port_value: $authorizer/" "$ROOT/examples/$file" >"$WORK/$file"
done
until_listens "$app"
until_listens "$authorizer"
for command in "nginx -p $WORK -c $WORK/nginx.conf" "$CACHE/envoy/envoy -c $WORK/envoy.yaml --concurrency 1 --base-id $((RANDOM % 30000))"; do
  name=$(basename "${command%% *}")
  start "$name" $command
  proxied=$!
  until_listens "$proxy" 30
  at() { status "$1" -u ada:secret -H 'X-Riskgate-Id: invented' "http://127.0.0.1:$proxy$2"; }
  equal "$name: a sign-in" 200 "$(at 2.26.53.1 /sign-in)"
  grep -qE '^id=[0-9A-Z]{26} action=allow$' "$WORK/answer" || fail "$name: the application did not receive the decision: $(cat "$WORK/answer")"
  equal "$name: a denied network" 403 "$(at 81.2.69.142 /sign-in)"
  equal "$name: another route" 200 "$(at 81.2.69.142 /)"
  equal "$name: what the application receives on another route" "id= action=" "$(cat "$WORK/answer")"
  stop "$RISKGATE_PID"
  equal "$name: without riskgate" 403 "$(at 2.26.53.1 /sign-in)"
  riskgate
  stop "$proxied"
  prove "$name: asks about the sign-in route only, passes the decision on, lets no invented one through, and denies without riskgate"
done

# `cargo test` has built it beside the binary.
score="$(dirname "$RISKGATE")/examples/score"
if [ -x "$score" ]; then "$score"; else (cd "$ROOT" && cargo run --quiet --package riskgate-engine --example score); fi >"$WORK/score" || fail "the embedded engine"
[ -s "$WORK/score" ] || fail "the embedded engine prints nothing"
prove "the engine decides in a program that embeds it"
