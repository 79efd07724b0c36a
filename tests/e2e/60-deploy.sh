#!/usr/bin/env bash
# The template, and the programs that attach and roll out, against moto.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
cd "$ROOT"

cfn-lint deploy/template.yaml deploy/sessions.yaml deploy/cloudwatch/watch.yaml
prove "cfn-lint finds nothing in the templates"

# A service that refuses the connection: its metrics are written too.
lambda_api RISKGATE_PROVIDERS=http RISKGATE_HTTP_URL=http://127.0.0.1:1/ RISKGATE_STEP_UP_POOLS=http://127.0.0.1:1/us-east-1_e2e RISKGATE_STEP_UP_CLIENTS=web-client
AWS_ENDPOINT_URL_LAMBDA=$INVOKE PYTHONPATH="$HERE" python -c '
import json, boto3, events
for event in events.pre_authentication("ola", ip="2.26.53.1"), events.create_challenge(), events.authorizer("no token"):
    boto3.client("lambda").invoke(FunctionName="riskgate", Payload=json.dumps(event))'
python "$HERE/60-watch.py" deploy/cloudwatch/watch.yaml "$WORK/function.log" docs/RUNBOOK.md
prove "every alarm, panel and metric filter reads something that a function writes, and every alarm has its section in the runbook"

"$RISKGATE" config --json | deploy/variables --check
prove "every variable of riskgate config can be set from the template, with the program's own words"

python -m pytest -q -p no:cacheprovider deploy/test_attach.py deploy/test_rollout.py deploy/test_template.py deploy/test_sessions.py 2>&1 | tail -n 1
prove "the template deploys in monitor mode, attached to nothing, with a role of four actions on one table; each variable reaches the function"
prove "attach changes the triggers of a pool with every setting set, and nothing else; undo restores; rollout moves a share and back"
