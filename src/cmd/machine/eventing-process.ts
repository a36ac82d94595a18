/**
 * How the process that keeps and delivers events is started: in the network of the first node, where Services and names are what they are for pods.
 */
import { join } from "node:path";
import { findProgram } from "#runtime/machine.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import { eventingLayout } from "./layout.ts";
import { nodePlan, searchPath } from "./node-plan.ts";
import type { ProcessSpec } from "./processes.ts";
import type { RunPermit } from "./run-permit.ts";

/** Says how to start it. */
export function eventingProcess(context: MachineContext, cluster: Cluster, permit: RunPermit | undefined): ProcessSpec {
  const { record, layout } = cluster;
  const args = ["--name", record.name, "--data-root", context.dataRoot, "--run-root", context.runRoot];
  return { entry: "eventing", args, logFile: eventingLayout(layout).log, ...networkOf(cluster), permit };
}

/** The only node shares the machine's network. */
function networkOf(cluster: Cluster): Pick<ProcessSpec, "prefix"> {
  const { linkName, namespaces } = nodePlan(cluster, 0);
  if (linkName === undefined) return {};
  return {
    prefix: [
      findProgram("nsenter", searchPath) ?? "nsenter",
      `--net=${join(namespaces.runFolder, "pins", "net")}`,
      "--",
    ],
  };
}
