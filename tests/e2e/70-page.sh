#!/usr/bin/env bash
# A real browser opens the page during the demo. SCREENSHOTS=DIRECTORY keeps pictures.
source "$(dirname "$0")/lib.sh"

port=$(free_port)
operator=a-token-of-an-operator
start demo env RISKGATE_DASHBOARD_OPERATORS="ada=$operator" RISKGATE_AUDIT="$WORK/demo.jsonl" "$RISKGATE" demo --listen "127.0.0.1:$port" --speed 2 --for 8m
until_listens "$port"
ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
cp "$HERE/70-page.mjs" "$WORK/"
node "$WORK/70-page.mjs" "http://127.0.0.1:$port/" "$WORK/demo.jsonl" "$operator" "${SCREENSHOTS:-}"
prove "the attack is named within 15 s; three clicks lead to the timeline of a target; suspend and undo are audited; the wrongly stopped are listed; a permalink outlasts 10,000 decisions; axe finds nothing serious"

# The same page from an audit log that grows, gzipped or not, with CloudWatch's prefixes.
log="$WORK/audit.jsonl" watch=$(free_port) serve=$(free_port)
start serve env RISKGATE_AUDIT="$log" "$RISKGATE" serve --listen "127.0.0.1:$serve"
until_listens "$serve"
ask() { curl -sf "http://127.0.0.1:$serve/v1/assess" -H 'Content-Type: application/json' -d "{\"user\":\"$1\",\"ip\":\"8.8.8.8\"}" >"$WORK/answer"; }
ask first
until [ -s "$log" ]; do sleep 0.05; done
sed -i 's/^/2026-11-22T00:00:00 /' "$log"
start watch "$RISKGATE" watch "$log" --listen "127.0.0.1:$watch"
until_listens "$watch"
decided() { curl -sN --max-time 3 "http://127.0.0.1:$watch/events" 2>/dev/null | grep -o '"decided":[0-9]*' | tail -1 || true; }
equal "decided as the log has it" '"decided":1' "$(decided)"
sed 's/^/2026-11-22T00:00:01 /' <"$log" | head -1 >>"$log"
equal "decided after the log has grown" '"decided":2' "$(decided)"
prove "riskgate watch shows a log with CloudWatch's prefixes, and follows it"

# The page and /metrics behind a token, which a browser sends as a password.
guarded=$(free_port) token=a-token-of-32-letters-and-figures
start guarded env RISKGATE_TOKEN="$token" RISKGATE_AUDIT=off "$RISKGATE" serve --listen "127.0.0.1:$guarded"
until_listens "$guarded"
cp "$HERE/70-token.mjs" "$WORK/"
node "$WORK/70-token.mjs" "http://127.0.0.1:$guarded/" "$token"
prove "a browser with the token as its password sees the page fill and the metrics; one without sees nothing"
