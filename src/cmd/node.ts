/**
 * The process of one node: kubelet with containers, service proxy, DNS, and a watch over the control plane. Outlives the control plane; started by it, in the node's
 * own mount namespace.
 */
import { parseArgs } from "node:util";
import { systemClock } from "#component-base/clock.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { getCluster, type MachineContext } from "./machine/clusters.ts";
import { nodePlan } from "./machine/node-plan.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";
import { NodeAgent } from "./node/node-agent.ts";

const { values } = parseArgs({
  options: {
    name: { type: "string", default: "default" },
    index: { type: "string", default: "0" },
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
const cluster = getCluster(context, values.name);
const plan = nodePlan(cluster, Number(values.index));
process.title = `nodeless node ${plan.name}`;

await runClusterProcess(
  { role: "node", name: plan.name, socket: plan.layout.socket, title: `Node ${plan.name}` },
  (parts) => {
    const entered = enterClusterCgroup(context, cluster, parts.logger);
    return new NodeAgent({ cluster, context, plan, entered, clock: systemClock, ...parts });
  },
);
