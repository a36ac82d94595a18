/**
 * Takes away what a stopped cluster has left in the kernel, whatever state its processes ended in: containers, mounts, namespaces, links, addresses, tables, control groups.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { releaseHeldListeners, releaseHeldSockets } from "#linux/held-sockets.ts";
import { tearDownNodeNetwork } from "#network/node-network.ts";
import { destroyRuntime } from "#runtime/destroy.ts";
import { destroyRootlessRuntime } from "#runtime/rootless/destroy.ts";
import { removeNodeNamespaces } from "#runtime/node-namespaces.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import { clusterCgroup, formerCgroup } from "./kernel-names.ts";
import { eventingLayout, isolateFolders, packFolders } from "./layout.ts";
import { tearDownMachineNetwork } from "./machine-network.ts";
import { type NodePlan, nodePlan } from "./node-plan.ts";
import { ownsSlot } from "./slot-claim.ts";

/** Node number `index`. Its process must have ended. */
export async function tearDownNode(context: MachineContext, cluster: Cluster, index: number): Promise<void> {
  const plan = nodePlan(cluster, index);
  if (cluster.record.isRootless === true) return await tearDownRootlessNode(plan);
  if (!context.isRoot) return;
  const stateFolder = join(plan.layout.data, "runtime");
  await destroyRuntime({ stateFolder, runFolder: plan.layout.run, cgroupParent: plan.cgroupParent });
  await destroyRuntime({ ...isolateFolders(plan.layout), cgroupParent: plan.cgroupParent });
  await destroyRuntime({ ...packFolders(plan.layout), cgroupParent: plan.cgroupParent });
  releaseHeldSockets(plan.layout.run);
  // A network namespace of its own takes addresses, routes and tables with it.
  if (plan.linkName === undefined && ownsSlot(cluster)) await tearDownNodeNetwork(plan.network);
  await removeNodeNamespaces({
    runFolder: plan.layout.run,
    ...(plan.linkName === undefined ? {} : { linkName: plan.linkName }),
  });
  rmSync(plan.layout.run, { recursive: true, force: true });
}

/** Of a node without root the kernel has processes only. */
async function tearDownRootlessNode({ layout }: NodePlan): Promise<void> {
  await destroyRootlessRuntime(isolateFolders(layout).stateFolder);
  releaseHeldSockets(layout.run);
  rmSync(layout.run, { recursive: true, force: true });
}

/** What belongs to no single node. All nodes must have been taken down. */
export async function tearDownCluster(context: MachineContext, cluster: Cluster): Promise<void> {
  if (!context.isRoot || cluster.record.isRootless === true) return;
  releaseHeldListeners(eventingLayout(cluster.layout).listener);
  if (ownsSlot(cluster)) await tearDownMachineNetwork(cluster);
  for (const group of [clusterCgroup(cluster.record), formerCgroup(cluster.record)]) openCgroups().remove(group);
}
