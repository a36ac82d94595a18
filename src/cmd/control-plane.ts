/**
 * The control-plane process: store → API server → controllers and scheduler, and a watch over the cluster's nodes. Started by `nodeless up`, or by a node when it died.
 */
import { systemClock } from "#component-base/clock.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { controlPlaneSocket } from "./machine/layout.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";
import { processArguments } from "./machine/process-arguments.ts";
import { ControlPlane } from "./control-plane/control-plane.ts";

const { context, cluster } = processArguments(process);
const { name } = cluster.record;
process.title = `nodeless control-plane ${name}`;
const socket = controlPlaneSocket(cluster.layout);

await runClusterProcess({ role: "control-plane", name, socket, title: "Control plane" }, (parts) => {
  // The nodes that it starts meanwhile move themselves.
  void enterClusterCgroup(context, cluster, parts.logger); // never rejects
  return new ControlPlane({ cluster, context, clock: systemClock, ...parts });
});
