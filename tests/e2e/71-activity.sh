#!/usr/bin/env bash
# An analyst opens a log of 100,000 decisions.
source "$(dirname "$0")/lib.sh"

port=$(free_port) token=a-view-token-of-length
python3 "$HERE/71-activity.py" "$WORK/audit.jsonl"
start watch env RISKGATE_DASHBOARD_VIEW_TOKEN="$token" "$RISKGATE" watch "$WORK/audit.jsonl" --listen "127.0.0.1:$port"
until_listens "$port"
ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
cp "$HERE/71-activity.mjs" "$WORK/"
node "$WORK/71-activity.mjs" "http://127.0.0.1:$port/" "$token" "${PIDS[-1]}"
prove "100,000 decisions: no task of the page takes 200 ms, rows out of sight are no elements, memory is bounded, and an old log is not called live"
