#!/usr/bin/env bash
# A real CrowdSec: bans added and removed with cscli, queried live by the function and streamed by the sidecar.
source "$(dirname "$0")/lib.sh"
source "$HERE/lambda_api.sh"
package=$CACHE/crowdsec/root
lapi=$(free_port) sidecar=$(free_port)

mkdir -p "$WORK/crowdsec/data" "$WORK/crowdsec/hub"
echo '{}' >"$WORK/crowdsec/hub/.index.json"
cp -r "$package/etc/crowdsec/." "$WORK/crowdsec/"
cat >"$WORK/crowdsec/config.yaml" <<YAML
common: { daemonize: false, log_media: stdout, log_level: info }
config_paths: { config_dir: $WORK/crowdsec, data_dir: $WORK/crowdsec/data, simulation_path: $WORK/crowdsec/simulation.yaml, hub_dir: $WORK/crowdsec/hub, index_path: $WORK/crowdsec/hub/.index.json }
crowdsec_service: { enable: false }
cscli: { output: human }
db_config: { type: sqlite, db_path: $WORK/crowdsec/data/crowdsec.db, use_wal: false }
api:
  client: { insecure_skip_verify: false, credentials_path: $WORK/crowdsec/credentials.yaml }
  server: { listen_uri: "127.0.0.1:$lapi", profiles_path: $WORK/crowdsec/profiles.yaml, online_client: {} }
prometheus: { enabled: false }
YAML
cscli() { "$package/usr/bin/cscli" -c "$WORK/crowdsec/config.yaml" "$@" 2>>"$WORK/cscli.log"; }
cscli machines add m1 --password "machine-password" --force -f "$WORK/crowdsec/credentials.yaml" >/dev/null
serve_lapi() { start crowdsec "$package/usr/bin/crowdsec" -c "$WORK/crowdsec/config.yaml" -no-cs; LAPI_PID=$!; until_listens "$lapi" 30; }
serve_lapi
live_key=$(cscli bouncers add live -o raw)
stream_key=$(cscli bouncers add stream -o raw)
echo "  $("$package/usr/bin/crowdsec" -version 2>&1 | grep -o 'version: v[^ ]*' | head -n 1)"

# Asking again and again for new names from one address comes to look like an attack: only CrowdSec shall count here.
variables=(RISKGATE_REVIEW_AT=100 RISKGATE_PROVIDERS=crowdsec RISKGATE_CROWDSEC_URL="http://127.0.0.1:$lapi" RISKGATE_CACHE_TTL=1s RISKGATE_CACHE_NEGATIVE_TTL=1s)
lambda_api "${variables[@]}" RISKGATE_CROWDSEC_KEY="$live_key"
start sidecar env "${variables[@]}" RISKGATE_CROWDSEC_KEY="$stream_key" "$RISKGATE" serve --listen "127.0.0.1:$sidecar"
until_listens "$sidecar"
export AWS_ENDPOINT_URL_LAMBDA=$INVOKE SIDECAR="http://127.0.0.1:$sidecar"
expect() { python "$HERE/50-crowdsec.py" "$@"; }

expect 2.26.53.1 allow
cscli decisions add --ip 2.26.53.1 --duration 1h --type ban >/dev/null
expect 2.26.53.1 deny
prove "a ban added with cscli denies: live in the function, streamed in the sidecar"
cscli decisions add --range 81.2.69.0/24 --duration 1h --type ban >/dev/null
expect 81.2.69.142 deny
prove "a banned range denies an address in it"
cscli decisions delete --ip 2.26.53.1 >/dev/null
expect 2.26.53.1 allow
prove "a ban that is removed no longer does"

kill "$LAPI_PID"; wait "$LAPI_PID" 2>/dev/null || true
sleep 1.1
expect 177.54.144.1 allow live
grep '"trigger":"pre_authentication"' "$WORK/function.log" | tail -n 1 | grep -Eq '"crowdsec":"(connect|reset|timeout)"' || fail "the last audit line does not say that CrowdSec was missing"
prove "the Local API stopped: a sign-in is decided without it, and the audit line says so"
serve_lapi
expect 81.2.69.142 deny
prove "and it is queried again when it is back"
