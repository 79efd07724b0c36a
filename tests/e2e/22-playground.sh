#!/usr/bin/env bash
# The playground, as a new user runs it: its own cache, a port in use, one sign-in let in and one denied.
source "$(dirname "$0")/lib.sh"

export PLAYGROUND_CACHE="$CACHE/playground"
busy=$(free_port)
start busy python -m http.server --bind 127.0.0.1 "$busy"
until_listens "$busy"
if E2E_BINARY="$RISKGATE" "$HERE/playground" "$busy" >"$WORK/refused.log" 2>&1; then fail "the playground starts on a port in use"; fi
grep -q "port $busy is in use" "$WORK/refused.log" || fail "the refusal does not name the port: $(cat "$WORK/refused.log")"
rm -f "$PLAYGROUND_CACHE/playground.env"
code=0; "$HERE/sign-in" >"$WORK/early.log" 2>&1 || code=$?
equal "exit code before the playground" 2 "$code"

port=$(free_port)
began=$SECONDS
start playground env E2E_BINARY="$RISKGATE" "$HERE/playground" "$port"
until_listens "$port" 60
prove "the playground listens on any port, $((SECONDS - began)) s after its start"
"$HERE/sign-in" --ip 2.26.53.1 >"$WORK/good.log" || fail "a good sign-in is refused: $(cat "$WORK/good.log")"
grep -q '^signed in, ID token' "$WORK/good.log" || fail "$(cat "$WORK/good.log")"
code=0; "$HERE/sign-in" --ip 81.2.69.142 >"$WORK/denied.log" || code=$?
equal "exit code of a denied sign-in" 1 "$code"
grep -q 'Sign-in was declined' "$WORK/denied.log" || fail "$(cat "$WORK/denied.log")"
grep -q 'decided by .*81.2.69.0/24' "$WORK/denied.log" || fail "the denial is not explained: $(cat "$WORK/denied.log")"
prove "sign-in exits 0 with tokens, exits 1 on a denial and shows the rule that decided"
