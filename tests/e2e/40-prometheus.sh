#!/usr/bin/env bash
# Real Prometheus scrapes the sidecar; what it counted equals what was sent.
source "$(dirname "$0")/lib.sh"

port=$(free_port) web=$(free_port)
start sidecar env RISKGATE_DENY_CIDRS=81.2.69.0/24 "$RISKGATE" serve --listen "127.0.0.1:$port"
until_listens "$port"
curl -s "http://127.0.0.1:$port/metrics" >"$WORK/metrics"
promtool check metrics <"$WORK/metrics" >"$WORK/promtool.log" 2>&1 || fail "promtool finds fault with /metrics"
prove "promtool finds nothing wrong with /metrics"

start_prometheus "$web" "$port"
PROMETHEUS="http://127.0.0.1:$web" SIDECAR="http://127.0.0.1:$port" python "$HERE/40-prometheus.py"
prove "Prometheus: decisions by verdict equal the sign-ins sent, and the latency histogram yields quantiles"
