#!/usr/bin/env bash
# Verified sessions: the release binary as trigger and as session function, a fake session API checked against botocore's model, SQS, and Redis.
# SESSIONS sets the number of sessions of the load (default 1,500; the full run is E2E_TIMEOUT=1200 SESSIONS=10000 tests/e2e/run 24-sessions).
# SCENARIOS names those to run (default: all).
# 26-sessions-dynamodb.sh runs the same on DynamoDB.
source "$(dirname "$0")/lib.sh"

redis=$(free_port)
start redis redis-server --port "$redis" --bind 127.0.0.1 --save "" --appendonly no
until_listens "$redis"
python "$HERE/24-sessions.py" "$RISKGATE" "redis://127.0.0.1:$redis/0" "$WORK" "${SESSIONS:-1500}" ${SCENARIOS:-}
