/**
 * The process that keeps and delivers a cluster's events. Started with the first object of Knative Eventing's; outlives the control plane, and goes on with what it knew last while that is away.
 */
import { parseArgs } from "node:util";
import { systemClock } from "#component-base/clock.ts";
import { EventingAgent } from "./eventing/eventing-agent.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { getCluster, type MachineContext } from "./machine/clusters.ts";
import { eventingLayout } from "./machine/layout.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";

const { values } = parseArgs({
  options: {
    name: { type: "string", default: "default" },
    "data-root": { type: "string", default: "" },
    "run-root": { type: "string", default: "" },
  },
});
const context: MachineContext = {
  dataRoot: values["data-root"],
  runRoot: values["run-root"],
  isRoot: process.getuid?.() === 0,
  environment: process.env,
};
process.title = `nodeless eventing ${values.name}`;
const cluster = getCluster(context, values.name);
const { socket } = eventingLayout(cluster.layout);

await runClusterProcess({ role: "eventing", name: values.name, socket, title: "Eventing" }, (parts) => {
  void enterClusterCgroup(context, cluster, parts.logger); // never rejects
  return new EventingAgent({ cluster, environment: process.env, clock: systemClock, logger: parts.logger });
});
