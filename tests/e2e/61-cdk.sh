#!/usr/bin/env bash
# The CDK construct: built and tested from its lock file, compared with the SAM template, and used by the apps of docs/DEPLOY.md, all without AWS.
source "$(dirname "$0")/lib.sh"
export CDK_DISABLE_CLI_TELEMETRY=true CDK_DISABLE_STACK_TRACE=1
unset NODE_PATH
npm_quietly() { npm "$@" --ignore-scripts --no-audit --no-fund --loglevel=error >"$WORK/npm.log" 2>&1 || fail "npm $1"; }

# A clone in which `just package` has run; the function's packages are empty archives.
mkdir -p "$WORK/clone/target/package" "$WORK/app"
(cd "$ROOT" && git ls-files -z --cached --others --exclude-standard deploy | xargs -0 cp --parents -t "$WORK/clone")
for architecture in arm64 x86_64; do
  python -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").close()' "$WORK/clone/target/package/riskgate-$architecture.zip"
done
cdk=$WORK/clone/deploy/cdk
if grep -q '"resolved"' "$cdk/package-lock.json"; then fail "deploy/cdk/package-lock.json names the hosts of a registry: npm install --omit-lockfile-registry-resolved"; fi
ln -s "$CACHE/cdk/construct/node_modules" "$cdk/node_modules"
cd "$cdk"
npm_quietly run build
npm test >"$WORK/test.log" 2>&1 || fail "the construct's tests"
prove "the construct builds from its lock file and passes its $(grep -oE '^(# |ℹ )tests [0-9]+' "$WORK/test.log" | grep -oE '[0-9]+') tests, cdk-nag's rules among them"
RISKGATE=$RISKGATE python -m pytest -q -p no:cacheprovider ../test_cdk.py >"$WORK/compare.log" 2>&1 || fail "the comparison with the SAM template"
# The construct's tests have validated its templates. Here this would add seconds to each synthesis.
export CDK_VALIDATION=false
prove "function, table, roles and variables of the construct and of the transformed SAM template are equal; the custom resource attaches and detaches a pool in moto"

# The apps of the page, with the package as npm packs it.
npm_quietly pack --pack-destination "$WORK"
modules=$CACHE/cdk/apps/node_modules
rm -rf "$modules/riskgate-cdk" && mkdir "$modules/riskgate-cdk"
tar xzf "$WORK"/riskgate-cdk-*.tgz -C "$modules/riskgate-cdk" --strip-components=1
ln -s "$modules" "$WORK/app/node_modules"
cp "$HERE/cdk/package.json" "$WORK/app/"
python "$HERE/snippets.py" "$ROOT/docs/DEPLOY.md" "$WORK/app"
cd "$WORK/app"
export PATH="$modules/.bin:$PATH"
tsc --noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler --types node *.ts amplify/*.ts amplify/auth/*.ts >"$WORK/types.log" 2>&1 || fail "the types of the apps"
for app in new-pool imported-pool options; do
  cdk synth --quiet --no-notices --app "tsx $app.ts" --output "$WORK/$app.out" >"$WORK/$app.log" 2>&1 || fail "cdk synth of $app"
done
# As `ampx` does: the backend in one process, with its identifier as context.
CDK_OUTDIR=$WORK/amplify.out CDK_CONTEXT_JSON='{"amplify-backend-namespace":"shop","amplify-backend-name":"ada","amplify-backend-type":"sandbox"}' \
  tsx amplify/backend.ts >"$WORK/amplify.log" 2>&1 || fail "the Amplify backend"
python - "$WORK" <<'PY' || fail "the synthesised templates"
import json, pathlib, sys

def templates(app):
    return [json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1], f"{app}.out").glob("*.template.json")]

def found(app, type_):
    return [r["Properties"] for template in templates(app) for r in template["Resources"].values() if r["Type"] == type_]

for app in ("new-pool", "options", "amplify"):
    [pool] = found(app, "AWS::Cognito::UserPool")
    assert {"PreAuthentication", "PostAuthentication", "PreTokenGenerationConfig"} <= pool["LambdaConfig"].keys(), app
    assert not found(app, "Custom::RiskgateTriggers")
assert not found("imported-pool", "AWS::Cognito::UserPool")
[triggers] = found("imported-pool", "Custom::RiskgateTriggers")
assert triggers["Triggers"] == "pre,post,token"
for app in ("new-pool", "imported-pool", "options", "amplify"):
    [function] = [f for f in found(app, "AWS::Lambda::Function") if f["Runtime"] == "provided.al2023"]
    assert function["Environment"]["Variables"]["RISKGATE_MODE"] == "monitor", app
PY
prove "the page's apps synthesise offline: a new pool, an imported one, one with options, and an Amplify backend"

python -c '
import sys, hcl2
with open(sys.argv[1]) as file: found = hcl2.load(file)
assert len(found["resource"]) > 5, found' "$WORK/app/riskgate.tf" || fail "the Terraform configuration"
python - "$ROOT/deploy/helm/riskgate" "$WORK/app/values.yaml" 2>"$WORK/helm.log" <<'PY' || fail "the chart with the values of the page"
import sys, helm_python as helm, yaml
values = yaml.safe_load(open(sys.argv[2]))
rendered = [yaml.safe_load(text) for name, text in helm.Chart.load(sys.argv[1]).__enter__().render(values, name="riskgate", namespace="identity").items() if name.endswith(".yaml")]
assert {"Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor"} <= {found["kind"] for found in rendered if found}
PY
prove "the Terraform configuration of the page is valid HCL, and the chart renders with the page's values"

# deploy/attach is one file.
mkdir "$WORK/empty" && cp "$ROOT/deploy/attach" "$WORK/empty/"
cd "$WORK/empty"
python3 attach --help >"$WORK/attach.log" 2>&1 || fail "attach alone"
AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_MAX_ATTEMPTS=1 python3 attach check us-east-1_AbCdEfGhI >"$WORK/attach.log" 2>&1 && fail "attach without a service"
grep -q '^attach: Could not connect' "$WORK/attach.log" || fail "attach alone does not reach the call of the service"
prove "deploy/attach runs alone in an empty folder"
