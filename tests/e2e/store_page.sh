# Sourced after lib.sh. store_page STORE SPEED LATER: the demo fills an empty store, and 70-page.mjs looks at the page of `riskgate dashboard` on it.
# With E2E_SHORT=1 it has fewer users and decisions, and leaves out what does not depend on the source: 70-page.sh shows that.
# A process writes at most 50 rows a second: at a higher speed than 2, decisions outside the attack would be sampled too.
store_page() {
  local store=$1 speed=$2 later=$3 users=160 short= demo page operator=a-token-of-an-operator end
  [ -z "${E2E_SHORT:-}" ] || { users=48; speed=2; later=$((later / 20)); short=1; }
  demo=$(free_port) page=$(free_port)
  RISKGATE_PSEUDONYM_KEY="k1:$(python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))')"
  export RISKGATE_PSEUDONYM_KEY
  start demo "$RISKGATE" demo --users "$users" --listen "127.0.0.1:$demo" --speed "$speed" --for 8m --store "$store"
  start dashboard env RISKGATE_STORE="$store" RISKGATE_DASHBOARD_OPERATORS="ada=$operator" RISKGATE_AUDIT="$WORK/actions.jsonl" "$RISKGATE" dashboard --listen "127.0.0.1:$page"
  until_listens "$demo" 60
  until_listens "$page" 60
  # The demo writes its users' past to the store first, as fast as the store allows.
  end=$((SECONDS + 120))
  until grep -q '^--- normal traffic' "$WORK/demo.log"; do
    [ $SECONDS -lt $end ] || fail "the demo does not begin"
    sleep 0.2
  done
  ln -s "$CACHE/node/node_modules" "$WORK/node_modules"
  cp "$HERE/70-page.mjs" "$WORK/"
  SIGN_INS="http://127.0.0.1:$demo/" LATER=$later SHORT=$short node "$WORK/70-page.mjs" "http://127.0.0.1:$page/" "$WORK/actions.jsonl" "$operator" "${SCREENSHOTS:-}"
}
