# Recipes; `just` lists them. CI runs these and nothing else.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list

# Everything that CI checks before the slow tests.
check: fmt clippy docs deny boundaries

# The form of the code.
fmt:
    cargo fmt --check

# The lints, warnings as errors.
clippy:
    cargo clippy --all-targets --all-features -- -D warnings

# The documentation, private items included.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --quiet

# Licences, sources and bans; advisories where their database can be reached.
deny:
    cargo deny --all-features check bans licenses sources
    cargo deny --all-features check advisories || .ci/advisories-unreachable

# What the engine and the Lambda package do not depend on.
boundaries:
    ! cargo tree -p riskgate-engine -e normal --prefix none | grep -E '^(tokio|reqwest|lambda_runtime|axum|metrics) '
    ! cargo tree -p riskgate-lambda --features dynamodb,secrets -e normal --prefix none | grep -E '^(clap|axum|indicatif|csv) '

# The tests of the README.
test:
    cargo test

# So many sign-ins at 200 at once while the service flaps, after half as many again as warm-up: 100,000 take seconds, a million minutes.
soak SIGN_INS="100000":
    RISKGATE_SOAK={{SIGN_INS}} cargo test --release --test integration soak:: -- --nocapture

# Scores of so many names that exist and as many that do not, near and far: 10,000 take a quarter of an hour.
enumeration NAMES="10000":
    RISKGATE_NAMES={{NAMES}} cargo test --all-features --test integration comparison:: -- --nocapture

# Every parser under libFuzzer, so many seconds each.
fuzz SECONDS="60" *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# The bill of materials of the release package: riskgate.cdx.json (CycloneDX 1.5).
sbom:
    command -v cargo-cyclonedx >/dev/null || cargo install --quiet --locked cargo-cyclonedx
    cargo cyclonedx --manifest-path crates/lambda/Cargo.toml --format json --spec-version 1.5 --features dynamodb,secrets --override-filename riskgate.cdx
    mv crates/lambda/riskgate.cdx.json riskgate.cdx.json
    find crates -name riskgate.cdx.json -delete
    sed -i "s|path+file://$PWD|path+file:///riskgate|g" riskgate.cdx.json

# The release package twice, in two places, byte by byte the same.
reproduce *ARGS:
    deploy/reproduce {{ARGS}}

# The tests with other people's programs.
e2e:
    tests/e2e/run

# What Lambda runs, as zips for arm64 and x86-64 in target/package; checked and started once.
package *ARGS:
    deploy/package {{ARGS}}

# The bundled networks and countries, from their sources (data/README.md).
data:
    python3 -m venv .venv
    .venv/bin/pip install --quiet --requirement data/requirements.txt
    .venv/bin/python data/update.py

# Instructions of each step of an assessment, held against benches/instructions.csv.
instructions *ARGS:
    cargo bench --quiet --bench assess -- --instructions {{ARGS}} >/dev/null

# Everything measured, against other people's ways to do the same; writes docs/BENCHMARKS.md.
bench *ARGS:
    benches/run {{ARGS}}
