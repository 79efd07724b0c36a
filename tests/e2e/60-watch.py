"""Holds the alarms, the dashboard and the metric filters to what a function really writes: WATCH.YAML FUNCTION.LOG"""

import json
import re
import sys

from samtranslator.yaml_helper import yaml_parse

resources = yaml_parse(open(sys.argv[1]).read())["Resources"]
lines = [json.loads(line) for line in open(sys.argv[2]) if '"_aws"' in line]
assert lines, "the function wrote no audit line"

written = {
    (metric["Name"], frozenset(dimensions))
    for line in lines for directive in line["_aws"]["CloudWatchMetrics"] for dimensions in directive["Dimensions"] for metric in directive["Metrics"]
    if directive["Namespace"] == "riskgate"
}
filters = {
    transformation["MetricName"]: resource["Properties"]["FilterPattern"]
    for resource in resources.values() if resource["Type"] == "AWS::Logs::MetricFilter" for transformation in resource["Properties"]["MetricTransformations"]
}


def stats(properties):
    """Every metric that an alarm reads: namespace, name, dimension names."""
    for metric in [properties, *(m["MetricStat"]["Metric"] for m in properties.get("Metrics", []) if "MetricStat" in m)]:
        if "MetricName" in metric:
            yield metric["Namespace"], metric["MetricName"], frozenset(d["Name"] for d in metric.get("Dimensions", []))


def widgets(body):
    for widget in json.loads(re.sub(r"\$\{(MaxWriteUnits|BudgetSeconds)\}", "1", body))["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            names = [part for part in metric if isinstance(part, str)]
            if names:
                yield names[0], names[1], frozenset(names[2::2])
            else:
                for dimension, name in re.findall(r"\{riskgate,(\w+)\} MetricName=\"(\w+)\"", metric[0]["expression"]):
                    yield "riskgate", name, frozenset([dimension])


used = 0
for name, resource in resources.items():
    properties = resource["Properties"]
    if resource["Type"] == "AWS::CloudWatch::Alarm":
        read = stats(properties)
    elif resource["Type"] == "AWS::CloudWatch::Dashboard":
        read = widgets(properties["DashboardBody"]["Fn::Sub"])
    else:
        continue
    for namespace, metric, dimensions in read:
        used += 1
        if namespace == "riskgate":
            assert (metric, dimensions) in written, f"{name} reads {metric} by {set(dimensions) or 'nothing'}, which no audit line declares"
        elif not str(namespace).startswith("AWS/"):
            assert metric in filters, f"{name} reads {metric}, which no metric filter makes"

runbook = open(sys.argv[3]).read()
for name, resource in resources.items():
    if resource["Type"] == "AWS::CloudWatch::Alarm":
        alarm = resource["Properties"]["AlarmName"]["Fn::Sub"].replace("${FunctionName}", "riskgate")
        assert f"\n### {alarm}\n" in runbook, f"the runbook has no section {alarm}"

for metric, pattern in filters.items():
    for path in re.findall(r"\$\.([\w.]+)", pattern):
        assert path.split(".")[0] in lines[0], f"the filter of {metric} reads {path}, which no audit line has"
    for trigger in re.findall(r'\$\.trigger = "(\w+)"', pattern):
        assert any(line.get("trigger") == trigger for line in lines), f"the filter of {metric} waits for a trigger {trigger}"
print(f"  {used} metrics of alarms and dashboard, {len(filters)} filters")
