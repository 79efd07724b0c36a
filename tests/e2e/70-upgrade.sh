#!/usr/bin/env bash
# A stepped upgrade: what an older version wrote into the store is read by this one.
#
# fixtures/history-N.json holds Redis as a version left it, N being that layout's number. To add one after the layout has
# changed: tests/e2e/run 70-upgrade with RECORD=history-N.json
#
# PREVIOUS names the binary of another version. The store, Redis and then DynamoDB, is then written by it, by both at once, by this
# one, and read by it again, as after a rollback. Without it this binary takes both parts. PREVIOUS_MARKS=none says that the other version does not
# know which values a session verified: it reads a record with these marks, and loses them, and only them, when it writes the record.
source "$(dirname "$0")/lib.sh"
source "$HERE/dynamodb.sh"
# Of this test only: pseudonyms of a person who does not exist.
key=k1:dGhlIGtleSBvZiB0aGUgdXBncmFkZSB0ZXN0LCBub2JvZHkncw

# with_redis: an empty Redis and a sidecar on it; sets REDIS_PORT and SIDECAR.
with_redis() {
  local port
  REDIS_PORT=$(free_port) port=$(free_port)
  start "redis-$REDIS_PORT" redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --save '' --appendonly no
  until_listens "$REDIS_PORT"
  start "sidecar-$port" env RISKGATE_STORE="redis://127.0.0.1:$REDIS_PORT/0" RISKGATE_PSEUDONYM_KEY=$key RISKGATE_AUDIT=off "$RISKGATE" serve --listen "127.0.0.1:$port"
  until_listens "$port"
  export REDIS_PORT SIDECAR="http://127.0.0.1:$port"
}

if [ -n "${RECORD:-}" ]; then
  with_redis
  python "$HERE/70-upgrade.py" record "$HERE/fixtures/$RECORD"
  exit 0
fi
for fixture in "$HERE"/fixtures/history-*.json; do
  with_redis
  python "$HERE/70-upgrade.py" check "$fixture"
  prove "$(basename "$fixture" .json): a person known to the version that wrote it is known to this one, and goes on being learned"
done

# sidecar BINARY: on STORE; sets SIDECAR and SIDECAR_PID.
sidecar() {
  local port
  port=$(free_port)
  # An emulator is slower than the service.
  start "sidecar-$port" env RISKGATE_STORE="$STORE" RISKGATE_STORE_TIMEOUT=1s RISKGATE_PSEUDONYM_KEY=$key RISKGATE_AUDIT=off "$1" serve --listen "127.0.0.1:$port"
  SIDECAR_PID=${PIDS[-1]}
  until_listens "$port"
  export SIDECAR="http://127.0.0.1:$port"
}

end() { kill "$1"; wait "$1" 2>/dev/null || true; }

# marked SUCCESSES WANTED: how many of the user's values are verified, none or some, after so many successes.
marked() {
  local marks
  marks=$(python "$HERE/70-upgrade.py" marks "$1")
  case $2 in none) equal "verified values" 0 "$marks" ;; some) [ "$marks" -gt 0 ] || fail "no value is verified" ;; esac
}

previous=${PREVIOUS:-$RISKGATE} marks_left=${PREVIOUS_MARKS:-some}
export STORE KEY=$key RISKGATE
redis_port=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
until_listens "$redis_port"
dynamodb riskgate-upgrade
for STORE in "redis://127.0.0.1:$redis_port/0" dynamodb://riskgate-upgrade; do
  sidecar "$previous"
  old=$SIDECAR old_pid=$SIDECAR_PID
  python "$HERE/70-upgrade.py" learn phone 20
  # While a deployment runs, both serve.
  sidecar "$RISKGATE"
  python "$HERE/70-upgrade.py" known phone 19
  python "$HERE/70-upgrade.py" learn tablet 12
  SIDECAR=$old python "$HERE/70-upgrade.py" known phone,tablet 11
  SIDECAR=$old python "$HERE/70-upgrade.py" learn laptop 4
  end "$old_pid"
  python "$HERE/70-upgrade.py" known phone,tablet,laptop 3
  end "$SIDECAR_PID"
  sidecar "$previous"
  python "$HERE/70-upgrade.py" known phone,tablet,laptop 2
  marked 18 none
  python "$HERE/70-upgrade.py" verify "$WORK/verify-$SIDECAR_PID.log"
  marked 19 some
  python "$HERE/70-upgrade.py" known phone,tablet,laptop 0
  marked 19 some
  python "$HERE/70-upgrade.py" learn phone 0
  marked 25 "$marks_left"
  end "$SIDECAR_PID"
  sidecar "$RISKGATE"
  python "$HERE/70-upgrade.py" known phone,tablet,laptop 0
  end "$SIDECAR_PID"
  prove "${STORE%%:*}: $("$previous" --version) reads a record with verified values; after it wrote the record, this version reads it, with verified values: $marks_left"
  prove "${STORE%%:*}: $("$previous" --version) and $("$RISKGATE" --version) read what the other learned, side by side, after the upgrade and after a rollback"
done
