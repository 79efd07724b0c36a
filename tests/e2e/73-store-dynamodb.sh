#!/usr/bin/env bash
# The page of `riskgate dashboard` on an emulator of DynamoDB that the demo fills, in a real browser.
source "$(dirname "$0")/lib.sh"
source "$HERE/store_page.sh"

dynamo_port=$(free_port)
start dynalite node "$CACHE/node/node_modules/dynalite/cli.js" --host 127.0.0.1 --port "$dynamo_port" --createTableMs 0
until_listens "$dynamo_port"
export AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:$dynamo_port"
python - "$ROOT/deploy/template.yaml" <<'PY'
import sys

import boto3
from samtranslator.yaml_helper import yaml_parse

wanted = yaml_parse(open(sys.argv[1]).read())["Resources"]["History"]["Properties"]
boto3.client("dynamodb").create_table(TableName="riskgate-e2e", **{name: wanted[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")})
PY
# The emulator answers a fraction of the calls that the service does, so the demo is slower and fewer decisions follow.
store_page dynamodb://riskgate-e2e 1 1000
prove "DynamoDB: the attack is named within 15 s; three clicks lead to the timeline of a target; suspend and undo reach the table and are audited; the wrongly stopped are listed; a permalink outlasts later decisions"
