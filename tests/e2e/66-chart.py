"""Renders the Helm chart with Helm's own code, compares it with the program's variables, and checks what no schema can: 66-chart.py OUT.

OUT receives a file for each set of values with the objects of Kubernetes, and operator.json with those of the Prometheus operator.
"""

import json
import os
import pathlib
import subprocess
import sys

import helm_python as helm
import yaml

CHART = os.environ["CHART"]
OUT = pathlib.Path(sys.argv[1])
PREFIX = "RISKGATE_"
ALL = {
    "image": {"repository": "registry.example.com/riskgate", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "config": {"MODE": "enforce", "STORE": "redis://valkey:6379/0", "CACHE_CAPACITY": 1000000, "PRIOR": 0.004, "DENY_AT": 82, "DENY_AT__client1": 90},
    "secret": {"create": {"token": "a-token-of-this-test", "pseudonym-key": "k1:" + "A" * 43}},
    "autoscaling": {"enabled": True},
    "networkPolicy": {"clients": [{"podSelector": {"matchLabels": {"app": "login"}}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/riskgate"}},
    "podLabels": {"team": "identity"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "identity", "operator": "Exists"}],
    "extraEnv": [{"name": "AWS_REGION", "value": "eu-west-1"}],
    "extraVolumes": [{"name": "model", "configMap": {"name": "model"}}],
    "extraVolumeMounts": [{"name": "model", "mountPath": "/model", "readOnly": True}],
}
SETS = {"least": {"secret": {"existingSecret": "riskgate"}}, "all": ALL}
REFUSED = [
    ({}, "existingSecret names no secret"),
    ({"config": {"TOKEN": "in plain sight"}}, "TOKEN"),
    ({"config": {"RISKGATE_MODE": "monitor"}}, "RISKGATE_MODE"),
    ({"config": {"LISTEN": "0.0.0.0:1"}}, "LISTEN"),
    ({"replicas": 3}, "replicas"),
    ({"image": {"digest": "latest"}}, "digest"),
]


def render(chart, values):
    """The objects, by kind."""
    documents = [yaml.safe_load(text) for name, text in chart.render(values, name="login", namespace="identity").items() if name.endswith(".yaml")]
    return {document["kind"]: document for document in documents if document}


def check(objects, values):
    spec = objects["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    selectors = [spec["selector"]["matchLabels"], objects["Service"]["spec"]["selector"]]
    selectors += [objects[kind]["spec"][field]["matchLabels"] for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"))]
    assert all(selector.items() <= labels for selector in selectors), selectors
    container = pod["containers"][0]
    assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    ports = {port["name"] for port in container["ports"]}
    used = {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "readiness", "liveness")}
    used |= {port["targetPort"] for port in objects["Service"]["spec"]["ports"]}
    used |= {port["port"] for rule in objects["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert used == ports, (used, ports)
    assert ("replicas" in spec) == ("HorizontalPodAutoscaler" not in objects)
    mounted = container["volumeMounts"][0]["mountPath"]
    files = {name: path for name, path in objects["ConfigMap"]["data"].items() if name.endswith("_FILE")}
    assert files and all(path.startswith(f"{mounted}/") for path in files.values()), files
    secret = pod["volumes"][0]["secret"]["secretName"]
    assert secret == (objects["Secret"]["metadata"]["name"] if "Secret" in objects else values["secret"]["existingSecret"])
    if "ServiceMonitor" in objects:
        endpoint = objects["ServiceMonitor"]["spec"]["endpoints"][0]
        assert endpoint["authorization"]["credentials"] == {"name": secret, "key": files["RISKGATE_TOKEN_FILE"].rsplit("/", 1)[1]}
        assert endpoint["port"] in {port["name"] for port in objects["Service"]["spec"]["ports"]}


def accepted_by_the_program(objects):
    """Every variable is one that riskgate knows, with a value that it accepts."""
    secrets = OUT / "secrets"
    secrets.mkdir(exist_ok=True)
    for key, value in ALL["secret"]["create"].items():
        (secrets / key).write_text(value)
    data = objects["ConfigMap"]["data"]
    mounted = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
    environment = {name: value.replace(mounted, str(secrets)) for name, value in data.items()}
    answer = subprocess.run([os.environ["RISKGATE"], "config", "--json"], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    in_force = {variable["name"]: variable["value"] for variable in json.loads(answer.stdout)}
    return in_force, {variable["name"].removeprefix(PREFIX) for variable in json.loads(answer.stdout) if variable["secret"]}


def refused(chart, values):
    try:
        chart.render(values, name="login", namespace="identity")
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"rendered: {values}")


findings = [message for message in helm.lint(CHART)["messages"] if message["severity"] > 1]
assert not findings, findings
operator = []
with helm.Chart.load(CHART) as chart:
    for name, values in SETS.items():
        objects = render(chart, values)
        check(objects, values)
        in_force, secrets = accepted_by_the_program(objects)
        ours = [document for document in objects.values() if document["apiVersion"].startswith("monitoring.coreos.com")]
        operator += ours
        (OUT / f"{name}.yaml").write_text(yaml.safe_dump_all([document for document in objects.values() if document not in ours]))
    assert in_force["RISKGATE_CACHE_CAPACITY"] == "1000000" and in_force["RISKGATE_PRIOR"] == "0.004", in_force
    for values, words in REFUSED:
        message = refused(chart, values)
        assert words in message, (values, message)
schema = json.loads(pathlib.Path(CHART, "values.schema.json").read_text())
forbidden = schema["properties"]["config"]["propertyNames"]["not"]["anyOf"][-1]["enum"]
assert set(forbidden) == secrets, f"values.schema.json forbids {forbidden} in config, the program's secrets are {sorted(secrets)}"
assert {document["kind"] for document in operator} == {"ServiceMonitor", "PrometheusRule"}
(OUT / "operator.json").write_text(json.dumps(operator))
print(f"  Helm {helm.helm_sdk_version()} renders {len(SETS)} sets of values; {len(REFUSED)} wrong ones are refused")
