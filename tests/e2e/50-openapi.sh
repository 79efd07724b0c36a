#!/usr/bin/env bash
# The sidecar against its own description: schemathesis makes requests out of GET /openapi.json, right ones and wrong ones.
source "$(dirname "$0")/lib.sh"

port=$(free_port)
start sidecar env RISKGATE_LISTEN="127.0.0.1:$port" RISKGATE_AUDIT=off "$RISKGATE" serve
until_listens "$port"

# The sidecar reads more forms of addresses, countries and times than it asks for, so data that breaks the description may be accepted. Unknown
# fields are rejected: tests/integration/server/sidecar.rs.
schemathesis run "http://127.0.0.1:$port/openapi.json" --exclude-checks negative_data_rejection --max-examples 200 --max-time 60 --continue-on-failure --seed 1 >"$WORK/schemathesis.log" 2>&1 \
  || fail "schemathesis found something"
cases=$(sed -n 's/^ *\([0-9]*\) generated.*/\1/p' "$WORK/schemathesis.log")
[ "${cases:-0}" -ge 300 ] || fail "only ${cases:-0} requests were made"
prove "schemathesis: $cases requests from the OpenAPI 3.1 description, each answered as it says"
