#!/usr/bin/env bash
# Real Prometheus scrapes the demo: every query of the Grafana dashboard and every rule has data; the alerts' own tests pass.
source "$(dirname "$0")/lib.sh"

promtool check rules "$ROOT/deploy/prometheus/rules.yaml" >"$WORK/rules.log"
(cd "$ROOT/deploy/prometheus" && promtool test rules rules_test.yaml) >"$WORK/rules_test.log"
prove "promtool: the rules are well formed, and each alert fires when it should and not when it should not"

port=$(free_port) web=$(free_port)
start demo "$RISKGATE" demo --listen "127.0.0.1:$port" --speed 6 --for 4m
until_listens "$port"
cp "$ROOT/deploy/prometheus/rules.yaml" "$WORK/"
cat >"$WORK/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: riskgate
    static_configs: [{ targets: ["127.0.0.1:$port"] }]
YAML
start prometheus prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" --web.listen-address="127.0.0.1:$web" --log.level=warn
until_listens "$web"
PROMETHEUS="http://127.0.0.1:$web" python "$HERE/45-panels.py" "$ROOT/deploy/grafana/riskgate.json" "$ROOT/deploy/prometheus/rules.yaml"
