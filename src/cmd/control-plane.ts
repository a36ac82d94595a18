/**
 * The control-plane process: store → API server → controllers and scheduler, and a watch over the cluster's nodes. Started by `nodeless up`, or by a node when it died.
 */
import { parseArgs } from "node:util";
import { systemClock } from "#component-base/clock.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { getCluster, type MachineContext } from "./machine/clusters.ts";
import { controlPlaneSocket } from "./machine/layout.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";
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
process.title = `nodeless control-plane ${values.name}`;
const cluster = getCluster(context, values.name);
const socket = controlPlaneSocket(cluster.layout);

await runClusterProcess({ role: "control-plane", name: values.name, socket, title: "Control plane" }, (parts) => {
  // The nodes that it starts meanwhile move themselves.
  void enterClusterCgroup(context, cluster, parts.logger); // never rejects
  return new ControlPlane({ cluster, context, clock: systemClock, ...parts });
});
