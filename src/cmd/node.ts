/**
 * The process of one node: kubelet with containers, service proxy, DNS, and a watch over the control plane. Outlives the control plane; started by it, in the node's
 * own mount namespace.
 */
import { systemClock } from "#component-base/clock.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { nodePlan } from "./machine/node-plan.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";
import { processArguments } from "./machine/process-arguments.ts";
import { NodeAgent } from "./node/node-agent.ts";

const { context, cluster, index } = processArguments(process);
const plan = nodePlan(cluster, index);
process.title = `nodeless node ${plan.name}`;

await runClusterProcess(
  { role: "node", name: plan.name, socket: plan.layout.socket, title: `Node ${plan.name}` },
  (parts) => {
    const entered = enterClusterCgroup(context, cluster, parts.logger);
    return new NodeAgent({ cluster, context, plan, entered, clock: systemClock, ...parts });
  },
);
