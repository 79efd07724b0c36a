#!/usr/bin/env bash
# The model's tables as SQL over audit logs, in real DuckDB, against `riskgate replay --learn`.
source "$(dirname "$0")/lib.sh"

RISKGATE_BIN=$RISKGATE python "$ROOT/deploy/test_sql.py" >"$WORK/sql.log" 2>&1
tail -n 1 "$WORK/sql.log"
prove "deploy/sql: DuckDB gets from an audit log what replay --learn gets"
