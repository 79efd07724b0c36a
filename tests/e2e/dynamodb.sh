# Sourced after lib.sh. dynamodb TABLE: an emulator of DynamoDB with the template's table; AWS's clients find it.
dynamodb() {
  local port
  port=$(free_port)
  start dynamodb moto_server -H 127.0.0.1 -p "$port"
  until_listens "$port"
  export AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:$port"
  python - "$ROOT/deploy/template.yaml" "$1" <<'PY'
import sys

import boto3
from samtranslator.yaml_helper import yaml_parse

wanted = yaml_parse(open(sys.argv[1]).read())["Resources"]["History"]["Properties"]
boto3.client("dynamodb").create_table(TableName=sys.argv[2], **{name: wanted[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")})
PY
}
