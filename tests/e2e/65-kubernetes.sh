#!/usr/bin/env bash
# The sidecar's manifest: valid, and the binary run as the manifest says answers its probes as the kubelet asks them.
source "$(dirname "$0")/lib.sh"
manifest=$ROOT/deploy/kubernetes/riskgate.yaml

kubernetes-validate --strict "$manifest" >"$WORK/validate.log" 2>&1 || fail "the manifest is not valid"
prove "the manifest is valid Kubernetes, strictly read"

port=$(free_port) admin=$(free_port)
mkdir -p "$WORK/secret"
printf 'a-token-of-this-test' >"$WORK/secret/token"
printf 'k1:%s' "$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')" >"$WORK/secret/pseudonym-key"
redis_port=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
until_listens "$redis_port"
# The ConfigMap as it is, except for the ports, the secret's place and the store's address.
mapfile -t variables < <(python - "$manifest" <<'PY'
import sys, yaml
for document in yaml.safe_load_all(open(sys.argv[1])):
    if document["kind"] == "ConfigMap":
        for name, value in document["data"].items():
            print(f"{name}={value}")
PY
)
for i in "${!variables[@]}"; do
  variables[i]=$(printf '%s' "${variables[i]}" | sed "s#:8710#:$port#; s#:9710#:$admin#; s#/run/secrets/riskgate#$WORK/secret#; s#valkey:6379#127.0.0.1:$redis_port#")
done
start sidecar env "${variables[@]}" "$RISKGATE" serve
until_listens "$port"

status() { curl -s -o "$WORK/body" -w '%{http_code}' --max-time 5 "$@"; }
# The kubelet names the pod's address and sends no token.
for path in healthz readyz; do
  equal "/$path as the kubelet asks" 200 "$(status -H 'Host: 10.244.1.7:8710' "http://127.0.0.1:$port/$path")"
done
prove "/healthz and /readyz answer without a token and under the pod's address"
equal "assess without a token" 401 "$(status -H 'content-type: application/json' -d '{"user":"ola"}' "http://127.0.0.1:$port/v1/assess")"
equal "assess with the token" 200 "$(status -H 'content-type: application/json' -H 'Authorization: Bearer a-token-of-this-test' -d '{"user":"ola","ip":"8.8.8.8"}' "http://127.0.0.1:$port/v1/assess")"
equal "metrics with the token" 200 "$(status -H 'Authorization: Bearer a-token-of-this-test' "http://127.0.0.1:$admin/metrics")"
grep -q riskgate_decisions_total "$WORK/body" || fail "no riskgate_decisions_total in /metrics"
prove "every other route wants the token of the secret's file"

# A store that goes away leaves the pod ready.
kill "${PIDS[0]}"; wait "${PIDS[0]}" 2>/dev/null || true
equal "assess without a store" 200 "$(status -H 'content-type: application/json' -H 'Authorization: Bearer a-token-of-this-test' -d '{"user":"ola","ip":"8.8.8.8"}' "http://127.0.0.1:$port/v1/assess")"
equal "/readyz without a store" 200 "$(status -H 'Host: 10.244.1.7:8710' "http://127.0.0.1:$port/readyz")"
prove "with the store gone it still decides, and stays ready"

sidecar=${PIDS[1]}
began=$SECONDS
kill -TERM "$sidecar"
wait "$sidecar" || fail "it ended with $?"
[ $((SECONDS - began)) -lt 10 ] || fail "it took $((SECONDS - began)) s to end"
prove "SIGTERM ends it in order, with exit code 0"
