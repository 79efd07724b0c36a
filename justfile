# Recipes; `just` lists them. CI runs these and nothing else.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The features of packages.
package := "dynamodb,secrets"

# List the recipes.
default:
    @just --list

# Everything that CI checks before the slow tests.
check: fmt clippy docs deny boundaries

# The form of the code.
fmt:
    cargo fmt --check

# The lints, warnings as errors; also of the build that the README begins with.
clippy:
    cargo clippy --all-targets --all-features -- -D warnings
    cargo clippy -- -D warnings

# The documentation, private items included.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --all-features --no-deps --document-private-items --quiet

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

# The bill of materials of the packages: riskgate.cdx.json (CycloneDX 1.5).
sbom:
    deploy/sbom riskgate.cdx.json

# A release in target/release-VERSION: zips, static binaries, images, chart, CDK package, crates, bill of materials; each is used once.
release VERSION *ARGS:
    deploy/release {{VERSION}} {{ARGS}}

# The release twice, in two places, byte by byte the same.
reproduce *ARGS:
    deploy/reproduce {{ARGS}}

# The tests with other people's programs.
e2e:
    tests/e2e/run

# Static binaries for arm64 and x86-64 in target/package, and what Lambda runs as zips; checked and started once.
package *ARGS:
    deploy/package {{ARGS}}

# The bundled networks and countries, from their sources (data/README.md).
data:
    python3 -m venv .venv
    .venv/bin/pip install --quiet --requirement data/requirements.txt
    .venv/bin/python data/update.py

# All tests, in one build: those of the README, and those with other people's programs.
test-all:
    cargo test --features programs,{{package}}

# The tests with other people's programs.
test-programs:
    cargo test --features programs,{{package}} --test programs

# Instructions of each step of an assessment, held against benches/instructions.csv.
instructions *ARGS:
    cargo bench --quiet --bench assess -- --instructions {{ARGS}} >/dev/null

# Promised and realised false-positive rates of five populations on the shipped scale and on a calibrated one (docs/MODEL.md). MODE is monitor or enforce.
calibration MODE="monitor" USERS="60000" SEED="21":
    cargo build --quiet --release --bin riskgate
    benches/calibration target/release/riskgate {{MODE}} {{USERS}} {{SEED}}

# Detection of attacks on a pool: campaigns, surges and scores (docs/MODEL.md).
attacks USERS="60000" *SEEDS="21 22 23":
    cargo build --quiet --release --bin riskgate
    benches/attacks target/release/riskgate {{USERS}} {{SEEDS}}

# Everything measured, against other people's ways to do the same; writes docs/BENCHMARKS.md.
bench *ARGS:
    benches/run {{ARGS}}
