#!/usr/bin/env bash
# The Helm chart, rendered by Helm's own code: valid for Kubernetes and for the Prometheus operator, with variables that the program accepts.
# CHART names a packaged chart to test instead of the folder.
source "$(dirname "$0")/lib.sh"

export CHART=${CHART:-$ROOT/deploy/helm/riskgate}
mkdir "$WORK/out"
if [ -f "$CHART" ]; then
  tar -xzf "$CHART" -C "$WORK"
  CHART=$WORK/riskgate
fi
python "$HERE/66-chart.py" "$WORK/out" 2>"$WORK/helm.log"
prove "the chart renders: labels, ports and secrets agree, and the program accepts every variable"

for rendered in "$WORK"/out/*.yaml; do
  kubernetes-validate --strict "$rendered" >"$WORK/validate.log" 2>&1 || fail "$(basename "$rendered") is not valid"
done
ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
cp "$HERE/66-chart.mjs" "$WORK/"
node "$WORK/66-chart.mjs" "$WORK/out/operator.json"
prove "every object is valid Kubernetes, strictly read; ServiceMonitor and PrometheusRule are valid for the Prometheus operator"
