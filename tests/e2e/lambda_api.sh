# Sourced after lib.sh: the release binary as a function behind the Lambda API of cargo lambda.

# lambda_api NAME=VALUE..: starts the API and the binary with those variables; sets INVOKE to the adapter's address
# (on ADAPTER_PORT where that is set) and FUNCTION_PID. Called again, it takes the place of the one before.
lambda_api() {
  local watch adapter
  watch=$(free_port) adapter=${ADAPTER_PORT:-$(free_port)}
  # It insists on a package, but with --only-lambda-apis it builds and runs nothing.
  mkdir -p "$WORK/package/src"
  printf '[package]\nname = "none"\nedition = "2024"\n[workspace]\n' >"$WORK/package/Cargo.toml"
  echo 'fn main() {}' >"$WORK/package/src/main.rs"
  (cd "$WORK/package" && exec cargo-lambda lambda watch --only-lambda-apis -A 127.0.0.1 -P "$watch") >"$WORK/watch.log" 2>&1 &
  PIDS+=($!)
  until_listens "$watch"
  start function env "$@" AWS_LAMBDA_FUNCTION_NAME=_ AWS_LAMBDA_FUNCTION_VERSION=1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256 \
    AWS_LAMBDA_RUNTIME_API="http://127.0.0.1:$watch/.rt" "$RISKGATE"
  FUNCTION_PID=$!
  if [ -n "${ADAPTER_PID:-}" ]; then kill "$ADAPTER_PID"; wait "$ADAPTER_PID" 2>/dev/null || true; fi
  start adapter node "$HERE/cognito/invoke-adapter.mjs" "$adapter" "http://127.0.0.1:$watch"
  ADAPTER_PID=$!
  until_listens "$adapter"
  INVOKE="http://127.0.0.1:$adapter"
}
