#!/usr/bin/env bash
# Twenty open pages cost a sign-in nothing that can be felt: the same run with and without them, in turns.
source "$(dirname "$0")/lib.sh"

port=$(free_port)
start sidecar env RISKGATE_AUDIT=off "$RISKGATE" serve --listen "127.0.0.1:$port"
until_listens "$port"
node "$HERE/75-pages.mjs" "$port"
prove "twenty event streams do not slow /v1/assess down"
