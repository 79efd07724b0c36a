#!/usr/bin/env bash
# What a release states: the bill of materials, the changes, the versions. deploy/release compiles for much longer.
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

for number in 1 2; do deploy/sbom "$WORK/bill-$number.json" >"$WORK/sbom.log"; done
cmp "$WORK/bill-1.json" "$WORK/bill-2.json" || fail "two bills of materials of one lock file differ"
python "$HERE/69-release.py" "$WORK/bill-1.json" Cargo.lock
prove "the bill of materials is valid CycloneDX 1.5, the same twice, with the checksums of the lock file"

cat >"$WORK/versions.py" <<'PY'
import importlib.machinery, importlib.util, sys
sys.path.insert(0, "deploy")
sys.argv = ["release"]
loader = importlib.machinery.SourceFileLoader("release", "deploy/release")
release = importlib.util.module_from_spec(importlib.util.spec_from_loader("release", loader))
loader.exec_module(release)
version = release.tomllib.loads(open("Cargo.toml").read())["workspace"]["package"]["version"]
release.check_versions(version)
assert release.changes(version).count("\n- ") > 0
try:
    release.check_versions("99.0.0")
except SystemExit as refusal:
    assert "Chart.yaml" in str(refusal), refusal
else:
    raise AssertionError("a wrong version is released")
PY
python "$WORK/versions.py"
prove "Cargo.toml, the chart and the npm package state one version, which has changes"
