#!/usr/bin/env bash
# The template, and the programs that attach and roll out, against moto.
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

cfn-lint deploy/template.yaml deploy/cloudwatch/watch.yaml
prove "cfn-lint finds nothing in the templates"

"$RISKGATE" config --json | deploy/variables --check
prove "every variable of riskgate config can be set from the template, with the program's own words"

python -m pytest -q -p no:cacheprovider deploy 2>&1 | tail -n 1
prove "the template deploys in monitor mode, attached to nothing, with a role of four actions on one table; each variable reaches the function"
prove "attach changes the triggers of a pool with every setting set, and nothing else; undo restores; rollout moves a share and back"
