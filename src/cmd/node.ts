/**
 * The process of one node: kubelet with containers, service proxy, DNS, and a watch over the control plane. Outlives the control plane; started by it, in the node's
 * own mount namespace.
 */
import { parseArgs } from "node:util";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { getCluster, type MachineContext } from "./machine/clusters.ts";
import { nodePlan } from "./machine/node-plan.ts";
import { AlreadyRunning, type StopMode, SupervisionServer } from "./machine/supervision.ts";
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
  isRoot: true,
  environment: process.env,
};
const clock = systemClock;
const cluster = getCluster(context, values.name);
const plan = nodePlan(cluster, Number(values.index));
const logger = createLogger({ level: process.env["NODELESS_LOG"] === "debug" ? "debug" : "info" }).with({
  node: plan.name,
});
process.title = `nodeless node ${plan.name}`;

let stopping = false;
let agent: NodeAgent | undefined;
const supervision = new SupervisionServer(
  plan.layout.socket,
  { role: "node", name: plan.name },
  (mode) => void stop(mode),
);

async function stop(mode: StopMode): Promise<void> {
  if (stopping) return;
  stopping = true;
  try {
    await agent?.stop(mode);
  } catch (error) {
    logger.error("Stopped uncleanly", { error });
  }
  await supervision.close();
  process.exit(0);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop("process"));

try {
  await supervision.listen();
  agent = new NodeAgent({ cluster, context, plan, clock, logger });
  await agent.start();
  supervision.ready();
} catch (error) {
  if (error instanceof AlreadyRunning) process.exit(0);
  logger.error("Started no node", { error });
  supervision.stage({
    stage: `Node ${plan.name}`,
    state: "failed",
    detail: error instanceof Error ? error.message : String(error),
  });
  await supervision.close();
  process.exit(1);
}
