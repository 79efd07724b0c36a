# Sourced by each part. Gives it a directory, free ports, background processes that end with it, and proofs.
#
# Set by run: CACHE (what was installed), RISKGATE (the binary), and on PATH the virtual environment's python.
set -euo pipefail
: "${CACHE:?start the parts through tests/e2e/run}" "${RISKGATE:?start the parts through tests/e2e/run}"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
PART=$(basename "$0" .sh)
WORK=$(mktemp -d)
PIDS=()
export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1 NODE_NO_WARNINGS=1 AWS_EC2_METADATA_DISABLED=true
export NODE_PATH="$CACHE/node/node_modules" PYTHONDONTWRITEBYTECODE=1

finish() {
  local code=$?
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ $code -ne 0 ]; then
    echo "--- $PART failed; the end of each log:"
    for log in "$WORK"/*.log; do [ -e "$log" ] && { echo "--- $(basename "$log")"; tail -n 25 "$log"; }; done
  fi
  rm -rf "$WORK"
  exit $code
}
trap finish EXIT

# prove TEXT: what has just been shown, in the words of a reader.
prove() { printf '  proved: %s\n' "$*"; }

fail() { printf '  FAILED: %s\n' "$*" >&2; exit 1; }

# free_port: a port that nothing listens on.
free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start NAME COMMAND..: in the background, logged to $WORK/NAME.log, ended with the part.
start() {
  local name=$1; shift
  "$@" >"$WORK/$name.log" 2>&1 &
  PIDS+=($!)
}

# until_listens PORT [SECONDS]: waits until something takes connections there.
until_listens() {
  local end=$((SECONDS + ${2:-20}))
  until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    [ $SECONDS -lt $end ] || fail "nothing listens on port $1"
    sleep 0.05
  done
}

# start_prometheus PORT TARGET [RULES]: Prometheus on PORT scrapes 127.0.0.1:TARGET each second and evaluates a file of rules.
start_prometheus() {
  cat >"$WORK/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [${3:-}]
scrape_configs:
  - job_name: riskgate
    static_configs: [{ targets: ["127.0.0.1:$2"] }]
YAML
  start prometheus prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" --web.listen-address="127.0.0.1:$1" --log.level=warn
  until_listens "$1"
}

# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }
