/**
 * How the process of a node is started: in its own mount namespace, and where there are several nodes in its own network namespace.
 */
import { openSync } from "node:fs";
import { prepareNodeNamespaces } from "#runtime/node-namespaces.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import type { NodePlan } from "./node-plan.ts";
import type { ProcessSpec } from "./processes.ts";

/** Prepares the node's namespaces and says how to start it. */
export async function nodeProcess(context: MachineContext, { record }: Cluster, node: NodePlan): Promise<ProcessSpec> {
  // The node starts a control plane that died in these, which are not its own. Two descriptors for each start of a node: not worth closing.
  const namespaces = [openSync("/proc/self/ns/mnt", "r"), openSync("/proc/self/ns/net", "r")];
  const args = [
    "--name",
    record.name,
    "--index",
    String(node.index),
    "--data-root",
    context.dataRoot,
    "--run-root",
    context.runRoot,
  ];
  return {
    entry: "node",
    args,
    logFile: node.layout.log,
    prefix: await prepareNodeNamespaces(node.namespaces),
    inherit: namespaces,
  };
}
