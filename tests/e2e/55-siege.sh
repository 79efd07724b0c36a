#!/usr/bin/env bash
# The sidecar under siege: slow, silent, huge and two-faced clients, while others sign in.
source "$(dirname "$0")/lib.sh"
ulimit -n 16384 || fail "10,000 connections need 16384 descriptors"

port=$(free_port)
# With the descriptors that a service usually has.
(ulimit -Sn 1024; exec env RISKGATE_LISTEN="127.0.0.1:$port" RISKGATE_AUDIT=off "$RISKGATE" serve) >"$WORK/sidecar.log" 2>&1 &
PIDS+=($!)
until_listens "$port"

python "$HERE/55-siege.py" "$port"
prove "10,000 silent connections, slow heads and bodies, gigabytes, head bombs, path tricks and smuggled requests: sign-ins keep their p99 within twice"

# Credential stuffing, over a shared store.
redis_port=$(free_port) campaign_port=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
until_listens "$redis_port"
key="k1:$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')"
start campaign env RISKGATE_LISTEN="127.0.0.1:$campaign_port" RISKGATE_STORE="redis://127.0.0.1:$redis_port/0" RISKGATE_PSEUDONYM_KEY="$key" RISKGATE_AUDIT="$WORK/audit.jsonl" "$RISKGATE" serve
until_listens "$campaign_port"
python "$HERE/55-campaign.py" "$campaign_port" "$redis_port"
prove "a campaign with one attempt for each account and network is detected and named; known users get in throughout"
