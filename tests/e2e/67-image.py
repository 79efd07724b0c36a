"""Prepares the bundle of an image for runc: 67-image.py BUNDLE SECRETS VARIABLE=VALUE..

Nothing that the image states is replaced: user, program and variables are its own. LIBRARIES=1 adds the machine's libraries, for a
binary of the tests, which is not static.
"""

import json
import os
import pathlib
import sys

bundle, secrets, *variables = sys.argv[1:]
path = pathlib.Path(bundle, "config.json")
spec = json.loads(path.read_text())
process = spec["process"]
assert process["user"]["uid"] == process["user"]["gid"] == 65532, process["user"]
assert process["args"] == ["/riskgate", "serve"], process["args"]
process["terminal"] = False
process["env"] += variables
process["noNewPrivileges"] = True
process["capabilities"] = {}
spec["root"]["readonly"] = True
# The machine's network: the test speaks to it from outside.
spec["linux"]["namespaces"] = [namespace for namespace in spec["linux"]["namespaces"] if namespace["type"] != "network"]
# Only a network namespace of its own lets it mount /sys.
spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] not in ("sysfs", "cgroup")]
bound = [(secrets, "/run/secrets/riskgate")]
if os.environ.get("LIBRARIES"):
    bound += [(place, place) for place in ("/lib", "/lib64", "/usr/lib") if os.path.exists(place)]
for source, destination in bound:
    options = ["rbind", "ro"]
    spec["mounts"].append({"destination": destination, "type": "bind", "source": os.path.realpath(source), "options": options})
path.write_text(json.dumps(spec))

root = pathlib.Path(bundle, "rootfs")
files = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
assert files == ["etc/group", "etc/passwd", "licenses/LICENSE-APACHE", "licenses/LICENSE-MIT", "riskgate"], files
