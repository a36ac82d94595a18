/**
 * How the process of a node is started: in its own mount namespace, and where there are several nodes in its own network namespace.
 */
import { prepareNodeNamespaces } from "#runtime/node-namespaces.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import type { NodePlan } from "./node-plan.ts";
import type { ProcessSpec } from "./processes.ts";
import type { RunPermit } from "./run-permit.ts";

/** Of which cluster, and under which permit. */
export type NodeProcessOptions = {
  readonly context: MachineContext;
  readonly cluster: Cluster;
  readonly permit: RunPermit | undefined;
};

/** Prepares the node's namespaces and says how to start it. */
export async function nodeProcess(
  { context, cluster: { record }, permit }: NodeProcessOptions,
  node: NodePlan,
): Promise<ProcessSpec> {
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
    ...(record.isRootless === true ? {} : await namespacesOf(node)),
    permit,
  };
}

async function namespacesOf(node: NodePlan): Promise<Pick<ProcessSpec, "prefix" | "inherit">> {
  return {
    prefix: await prepareNodeNamespaces(node.namespaces),
    // The node starts a control plane that died in these, which are not its own.
    inherit: ["/proc/self/ns/mnt", "/proc/self/ns/net"],
  };
}
