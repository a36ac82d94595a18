/**
 * The control-plane process: store → API server → controllers and scheduler, and a watch over the cluster's nodes. Started by `nodeless up`, or by a node when it died.
 */
import { parseArgs } from "node:util";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { type Cluster, getCluster, type MachineContext } from "./machine/clusters.ts";
import { controlPlaneSocket } from "./machine/layout.ts";
import { AlreadyRunning, type StopMode, SupervisionServer } from "./machine/supervision.ts";
import { ControlPlane } from "./control-plane/control-plane.ts";

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
const clock = systemClock;
const logger = createLogger({ level: process.env["NODELESS_LOG"] === "debug" ? "debug" : "info" });
process.title = `nodeless control-plane ${values.name}`;

const cluster: Cluster = getCluster(context, values.name);
let stopping = false;
let controlPlane: ControlPlane | undefined;
const supervision = new SupervisionServer(
  controlPlaneSocket(cluster.layout),
  { role: "control-plane", name: values.name },
  (mode) => void stop(mode),
);

async function stop(mode: StopMode): Promise<void> {
  if (stopping) return;
  stopping = true;
  try {
    await controlPlane?.stop(mode);
  } catch (error) {
    logger.error("Stopped uncleanly", { error });
  }
  await supervision.close();
  process.exit(0);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop("process"));

try {
  await supervision.listen();
  controlPlane = new ControlPlane({ cluster, context, supervision, clock, logger });
  await controlPlane.start();
  supervision.ready();
} catch (error) {
  if (error instanceof AlreadyRunning) process.exit(0);
  const why = error instanceof Error ? error.message : String(error);
  logger.error("Started no control plane", { error });
  supervision.stage({ stage: "Control plane", state: "failed", detail: why });
  await supervision.close();
  process.exit(1);
}
