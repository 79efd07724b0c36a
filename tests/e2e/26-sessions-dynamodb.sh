#!/usr/bin/env bash
# Verified sessions on an emulator of DynamoDB: the scenarios of 24-sessions.py, with fewer sessions, because the emulator is slow.
source "$(dirname "$0")/lib.sh"
source "$HERE/dynamodb.sh"

dynamodb sessions
python "$HERE/24-sessions.py" "$RISKGATE" dynamodb://sessions "$WORK" "${SESSIONS_DYNAMODB:-60}" ${SCENARIOS:-}
