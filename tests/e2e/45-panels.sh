#!/usr/bin/env bash
# Real Prometheus scrapes the demo: every query of the Grafana dashboard and every rule has data; the alerts' own tests pass.
source "$(dirname "$0")/lib.sh"

promtool check rules "$ROOT/deploy/prometheus/rules.yaml" >"$WORK/rules.log"
(cd "$ROOT/deploy/prometheus" && promtool test rules rules_test.yaml) >"$WORK/rules_test.log"
prove "promtool: the rules are well formed, and each alert fires when it should and not when it should not"

port=$(free_port) web=$(free_port)
start demo "$RISKGATE" demo --listen "127.0.0.1:$port" --speed 6 --for 4m
until_listens "$port"
start_prometheus "$web" "$port" "$ROOT/deploy/prometheus/rules.yaml"
PROMETHEUS="http://127.0.0.1:$web" python "$HERE/45-panels.py" "$ROOT/deploy/grafana/riskgate.json" "$ROOT/deploy/prometheus/rules.yaml"
