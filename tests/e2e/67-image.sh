#!/usr/bin/env bash
# The container image, unpacked by umoci and run by runc: another user than root, a root that cannot be written to, no capabilities.
#
# IMAGE names a tar of a release to test. Without it the image is made of the tests' binary, which needs the machine's libraries.
source "$(dirname "$0")/lib.sh"
runc="$CACHE/runc/runc --root $WORK/runc" umoci=$CACHE/runc/umoci
architecture=$(uname -m | sed s/aarch64/arm64/)

image=${IMAGE:-}
if [ -z "$image" ]; then
  export LIBRARIES=1
  strip -o "$WORK/binary" "$RISKGATE"
  for number in 1 2; do "$ROOT/deploy/image" "$WORK/binary" "$architecture" 0.0.0 "$WORK/image-$number.tar" >"$WORK/image.log"; done
  cmp "$WORK/image-1.tar" "$WORK/image-2.tar" || fail "two images of one binary differ"
  prove "the same binary makes the same image twice, without a daemon"
  image=$WORK/image-1.tar
fi
mkdir "$WORK/layout" "$WORK/secrets"
tar -xf "$image" -C "$WORK/layout"
tag=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"])' "$WORK/layout/index.json")
$umoci unpack --image "$WORK/layout:$tag" "$WORK/bundle" >"$WORK/umoci.log" 2>&1
# As `docker load` reads it.
python - "$WORK/layout" <<'PY'
import hashlib, json, pathlib, sys
layout = pathlib.Path(sys.argv[1])
[loaded] = json.loads((layout / "manifest.json").read_text())
for blob in [loaded["Config"], *loaded["Layers"]]:
    assert hashlib.sha256((layout / blob).read_bytes()).hexdigest() == blob.rsplit("/", 1)[1], blob
check = json.loads((layout / loaded["Config"]).read_text())["config"]["Healthcheck"]["Test"]
assert check == ["CMD", "/riskgate", "healthcheck"], check
PY

port=$(free_port) admin=$(free_port)
printf 'a-token-of-this-test' >"$WORK/secrets/token"
chmod -R a+rX "$WORK"
python "$HERE/67-image.py" "$WORK/bundle" "$WORK/secrets" RISKGATE_TOKEN_FILE=/run/secrets/riskgate/token "RISKGATE_LISTEN=0.0.0.0:$port" "RISKGATE_ADMIN_LISTEN=0.0.0.0:$admin"
container="riskgate-$$"
start container $runc run --bundle "$WORK/bundle" "$container"
runner=${PIDS[-1]}
until_listens "$port"
$runc exec "$container" /riskgate healthcheck
pid=$($runc state "$container" | python -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
equal "its user" 65532 "$(stat -c %u "/proc/$pid")"
awk '$5 == "/" { print $6 }' "/proc/$pid/mountinfo" | grep -q '^ro\b' || fail "its root can be written to"
equal "its capabilities" 0000000000000000 "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")"
prove "it serves as user 65532 without capabilities and with a root that cannot be written to; riskgate healthcheck finds it ready"

answer=$(curl -sf -H 'Content-Type: application/json' -H 'Authorization: Bearer a-token-of-this-test' -d '{"user":"ola","ip":"8.8.8.8"}' "http://127.0.0.1:$port/v1/assess")
[[ $answer == *'"decision":'* ]] || fail "no decision: $answer"
metrics=$(curl -sf -H 'Authorization: Bearer a-token-of-this-test' "http://127.0.0.1:$admin/metrics")
[[ $metrics == *riskgate_decisions_total* ]] || fail "no metrics"
prove "it decides, and has metrics"

! $runc exec "$container" /riskgate healthcheck --listen "127.0.0.1:$(free_port)" 2>"$WORK/unhealthy.log" || fail "nothing listens there, and it is healthy"
$runc kill "$container" TERM
wait "$runner" || fail "it ended with $?"
prove "healthcheck fails where nothing listens, and SIGTERM ends the container with exit code 0"
