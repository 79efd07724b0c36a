#!/usr/bin/env bash
# A stepped upgrade: what an older version wrote into the store is read by this one.
#
# fixtures/history-N.json holds Redis as a version left it, N being that layout's number. To add one after the layout has
# changed: tests/e2e/run 70-upgrade with RECORD=history-N.json
source "$(dirname "$0")/lib.sh"
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
