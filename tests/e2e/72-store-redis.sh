#!/usr/bin/env bash
# The page of `riskgate dashboard` on a real Redis that the demo fills, in a real browser.
source "$(dirname "$0")/lib.sh"
source "$HERE/store_page.sh"

redis_port=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
until_listens "$redis_port"
store_page "redis://127.0.0.1:$redis_port/0" 2 10000
prove "Redis: the attack is named within 15 s; three clicks lead to the timeline of a target; suspend and undo reach the store and are audited; the wrongly stopped are listed; a permalink outlasts later decisions"

redis-cli -p "$redis_port" zrange riskgate:a#rows 0 -1 >"$WORK/rows"
redis-cli -p "$redis_port" --scan >"$WORK/keys"
[ "$(wc -l <"$WORK/rows")" -gt 500 ] || fail "there are few rows"
if grep -aE 'later-[0-9]|8\.8\.8\.8' "$WORK/rows" "$WORK/keys"; then fail "a name or an address is in Redis"; fi
prove "no name and no address is in the rows, and in no key"
