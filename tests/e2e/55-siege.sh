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
