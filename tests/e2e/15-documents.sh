#!/usr/bin/env bash
# The command blocks of README, RUNBOOK and the other pages, run in a clean copy of the repository, against moto where they call AWS.
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

pages=(README.md docs/*.md data/README.md deploy/sql/README.md fuzz/README.md CONTRIBUTING.md)
[ -e examples/README.md ] && pages+=(examples/README.md)
counted=$(python "$HERE/documents.py" check "${pages[@]}")

mkdir -p "$WORK/clone" "$WORK/bin" "$WORK/out" "$WORK/home"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$WORK/clone"
PORT=$(free_port) audit=$(free_port) moto=$(free_port) aws=$(free_port)
export PORT

# `cargo run` without --bin works only while exactly one package names its default binary.
cargo metadata --no-deps --format-version 1 | python -c 'import json, sys
names = [package["default_run"] for package in json.load(sys.stdin)["packages"] if package["default_run"]]
assert names == ["riskgate"], f"cargo run cannot choose among {names}"'

# What a reader has built and installed. cargo is the binary under test, on a free port.
cat >"$WORK/bin/cargo" <<CARGO
#!/usr/bin/env bash
case "\$*" in
  "run -- demo"*) exec "$RISKGATE" demo --listen 127.0.0.1:$PORT ;;
  "run -- "*) shift 2; exec "$RISKGATE" "\$@" ;;
  *) echo "15-documents: cargo \$* is not available here" >&2; exit 1 ;;
esac
CARGO
printf '#!/bin/sh\nexec "%s" "$@"\n' "$RISKGATE" >"$WORK/bin/riskgate"
chmod +x "$WORK/bin"/*
ln -s "$CACHE/awscli/bin/aws" "$WORK/bin/aws"

# riskgate, whose audit lines are the function's log, and AWS.
start riskgate env RISKGATE_AUDIT="$WORK/audit.jsonl" RISKGATE_DENY_CIDRS=81.2.69.0/24 "$RISKGATE" serve --listen "127.0.0.1:$audit"
start moto moto_server -H 127.0.0.1 -p "$moto"
until_listens "$audit"
until_listens "$moto"
curl -sf -X POST "http://127.0.0.1:$moto/moto-api/config" -d '{"lambda":{"use_docker":false}}' >/dev/null
start aws python "$HERE/documents_aws.py" serve "$aws" "http://127.0.0.1:$moto" "http://127.0.0.1:$audit"
until_listens "$aws"
for ip in 2.26.53.1 81.2.69.142; do
  curl -sf "http://127.0.0.1:$audit/v1/assess" -H 'Content-Type: application/json' -d "{\"user\":\"ada\",\"ip\":\"$ip\"}" >/dev/null
done
until [ "$(wc -l <"$WORK/audit.jsonl")" -ge 2 ]; do sleep 0.05; done
pool=$(AWS_ENDPOINT_URL="http://127.0.0.1:$aws" python "$HERE/documents_aws.py" prepare "$WORK")

for page in "${pages[@]}"; do
  out="$WORK/out/$(echo "$page" | tr / -)"
  mkdir -p "$out"
  { declare -f until_listens fail; echo 'trap '\''kill $(jobs -p) 2>/dev/null || true'\'' EXIT; trap '\''echo "  failed at ${AT:-}" >&2'\'' ERR'
    python "$HERE/documents.py" script "$page" "$out" "SIDECAR=http://127.0.0.1:8710=>SIDECAR=http://127.0.0.1:$audit" "127.0.0.1:8710=>127.0.0.1:$PORT" \
      "us-east-1_AbCdEfGhI=>$pool"; } >"$out/script"
  (cd "$WORK/clone" && env -u NODE_PATH PATH="$WORK/bin:$PATH" HOME="$WORK/home" AWS_ENDPOINT_URL="http://127.0.0.1:$aws" RISKGATE_LISTEN="127.0.0.1:$PORT" \
    timeout --kill-after=5 140 bash "$out/script" 2>"$out/errors.log" </dev/null) || { tail -n 20 "$out/errors.log"; fail "$page"; }
  python "$HERE/documents.py" compare "$page" "$out"
done
prove "$counted, in a clean copy of the repository; outputs that a page prints are those of its commands"
AWS_ENDPOINT_URL="http://127.0.0.1:$aws" python "$HERE/documents_aws.py" verify "$WORK"
prove "the runbook's emergency commands change the alias, the modes and riskgate's triggers, and no other variable or setting"
