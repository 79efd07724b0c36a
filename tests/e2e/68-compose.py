"""Checks docker-compose.yaml beyond its schema, and writes its Prometheus configuration for this machine: 68-compose.py FILE TARGET TOKEN OUT."""

import json
import pathlib
import re
import sys

import yaml

path, target, token, out = sys.argv[1:]
folder = pathlib.Path(path).parent
compose = yaml.safe_load(open(path))
services = compose["services"]

for name, service in services.items():
    assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), f"{name} has a port for other machines"
    assert set(service["networks"]) <= set(compose["networks"]) and set(service.get("secrets", [])) <= set(compose["secrets"]), name
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (folder / source).is_file(), f"{name} mounts {source}, which is not a file"
        else:
            assert source in compose["volumes"], f"{name} uses the volume {source}"
assert "ports" not in services["redis"] and compose["networks"]["store"]["internal"]
variables = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in services["riskgate"]["environment"].items()}
assert all(value.rsplit("/", 1)[1] in services["riskgate"]["secrets"] for name, value in variables.items() if name.endswith("_FILE"))

# Grafana finds the source of data, and every panel of the dashboard uses the variable for it.
[source] = yaml.safe_load((folder / "grafana/datasources.yaml").read_text())["datasources"]
assert source["type"] == "prometheus" and re.fullmatch(r"http://prometheus:\d+", source["url"]), source
[provider] = yaml.safe_load((folder / "grafana/dashboards.yaml").read_text())["providers"]
mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
dashboard = next(name for name in mounts if name.endswith("riskgate.json"))
assert mounts[dashboard].startswith(provider["options"]["path"])
assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == mounts[dashboard]
board = json.loads((folder / dashboard).read_text())
[variable] = board["templating"]["list"]
assert variable["type"] == "datasource" and variable["query"] == source["type"]
assert all(panel["datasource"]["uid"] == f"${{{variable['name']}}}" for panel in board["panels"] if "datasource" in panel)

# The scrape configuration, but for what only the network of the containers has.
prometheus = yaml.safe_load((folder / "prometheus.yaml").read_text())
[job] = prometheus["scrape_configs"]
assert job["static_configs"] == [{"targets": ["riskgate:9710"]}] and job["authorization"]["credentials_file"] == "/run/secrets/token"
job["static_configs"] = [{"targets": [target]}]
job["authorization"]["credentials_file"] = token
prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
prometheus["rule_files"] = [str((folder / "../prometheus/rules.yaml").resolve())]
pathlib.Path(out, "prometheus.yaml").write_text(yaml.safe_dump(prometheus))
pathlib.Path(out, "variables").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
