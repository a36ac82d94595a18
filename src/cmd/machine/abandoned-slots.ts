/**
 * Gives back the slots of clusters whose folder somebody removed without `nodeless delete`: their addresses, links and tables lie about, and the next cluster would be kept from its own. One of
 * which anything still runs, be it a container, keeps its slot until it is deleted.
 */
import { rmSync } from "node:fs";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { type Cluster, type MachineContext, nodeNames, underMachineLock } from "./clusters.ts";
import { nodePlans } from "./node-plan.ts";
import { getAbandoned } from "./removable.ts";
import { listPermitHolders } from "./run-permit.ts";
import { abandonedClaims, releaseSlot } from "./slot-claim.ts";
import { tearDownCluster, tearDownNode } from "./teardown.ts";

/** Takes away what such clusters have left in the kernel, and their claims. Says of each in `notes`. */
export async function freeAbandonedSlots(context: MachineContext, notes: string[]): Promise<void> {
  if (!context.isRoot || (await abandonedClaims()).length === 0) return;
  await underMachineLock(context, async () => {
    for (const { claim } of await abandonedClaims()) {
      const cluster = getAbandoned(context, claim);
      const about = `cluster "${claim.cluster}", whose data in ${claim.folder} is gone`;
      if (runs(cluster)) {
        notes.push(`Something of ${about}, still runs: 'nodeless delete --name ${claim.cluster}' ends it.`);
        continue;
      }
      await takeApart(context, cluster);
      notes.push(`Removed what was left of ${about}.`);
    }
  });
}

/** Whoever only holds the DNS sockets of a node that has died does not count. */
function runs(cluster: Cluster): boolean {
  const cgroups = openCgroups();
  const hasPods = nodePlans(cluster).some(({ cgroupParent }) => cgroups.listProcesses(cgroupParent).length > 0);
  return hasPods || listPermitHolders(cluster.layout).length > 0;
}

async function takeApart(context: MachineContext, cluster: Cluster): Promise<void> {
  for (const index of nodeNames(cluster.record).keys()) await tearDownNode(context, cluster, index);
  await tearDownCluster(context, cluster);
  rmSync(cluster.layout.run, { recursive: true, force: true });
  releaseSlot(cluster);
}
