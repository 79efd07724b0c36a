#!/usr/bin/env bash
# Custom challenges by a real SDK with SRP against ministack, which runs the release binary as `provided.al2023` and keeps the mail of SES.
source "$(dirname "$0")/lib.sh"

port=$(free_port)
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
mkdir "$WORK/function" "$WORK/tmp"
# A debug binary is several times as large with its symbols.
strip -o "$WORK/function/bootstrap" "$RISKGATE" || cp "$RISKGATE" "$WORK/function/bootstrap"
# ministack counts the password among its three challenges, so it would allow one answer to a code. AWS documents no limit.
start ministack env GATEWAY_PORT="$port" BIND_HOST=127.0.0.1 TMPDIR="$WORK/tmp" "$CACHE/ministack/bin/python" -c '
import ministack.services.cognito
ministack.services.cognito._MAX_CHALLENGE_ATTEMPTS = 32
from ministack.app import main
main()'
until_listens "$port" 60

python "$HERE/22-challenge.py" "$WORK/function/bootstrap"
