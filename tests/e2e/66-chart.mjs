// Validates objects of the Prometheus operator with its own schemas: 66-chart.mjs FILE
import { readFileSync } from "node:fs";
import * as models from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

for (const document of JSON.parse(readFileSync(process.argv[2], "utf8"))) new models[document.kind](document).validate();
let refused = false;
try {
  new models.ServiceMonitor({ metadata: { name: "x" }, spec: { endpoints: [{ port: 1 }] } }).validate();
} catch {
  refused = true;
}
if (!refused) throw new Error("the schema accepts everything");
