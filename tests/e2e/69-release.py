"""Checks a bill of materials: 69-release.py BILL LOCK. It follows the CycloneDX schema and agrees with the lock file."""

import json
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1]).read()
problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
assert problem is None, problem
bill = json.loads(text)
locked = {f"pkg:cargo/{package['name']}@{package['version']}": package.get("checksum") for package in tomllib.loads(open(sys.argv[2]).read())["package"]}
crates = [entry for entry in bill["components"] if entry["bom-ref"].startswith("pkg:cargo/")]
for entry in crates:
    checksum = locked[entry["bom-ref"]]
    assert [stated["content"] for stated in entry.get("hashes", [])] == ([checksum] if checksum else []), entry
    assert entry["licenses"], entry
names = {entry["name"] for entry in crates}
assert {"tokio", "ring", "rustls", "aws-sdk-dynamodb", "redis", "mimalloc"} <= names
# Tests and macros are not in the binaries.
assert not names & {"proptest", "tempfile", "syn", "serde_derive", "criterion"}, names
references = {entry["bom-ref"] for entry in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
assert all({edge["ref"], *edge["dependsOn"]} <= references for edge in bill["dependencies"])
print(f"  {len(crates)} crates with checksum and licence")
