/**
 * Where a cluster's own processes live among the control groups: beside its nodes' pods, not with whoever typed `nodeless up`. Otherwise a session that ends, or a
 * unit that is restarted, would take conmon and with it the containers along.
 */
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Cluster, MachineContext } from "./clusters.ts";
import { clusterCgroup } from "./kernel-names.ts";

/**
 * Moves this process, and so all that it starts from then on, into the cluster's group. Whoever starts what outlives us waits for it; it goes on beside the rest of a start. Never rejects: on a machine
 * that forbids it everything works as long as the session lives.
 */
export async function enterClusterCgroup(context: MachineContext, cluster: Cluster, logger: Logger): Promise<void> {
  if (!context.isRoot) return;
  // No name of a node has an underscore, so this is never the group of one.
  const path = `${clusterCgroup(cluster.record)}/_processes`;
  try {
    const cgroups = openCgroups();
    cgroups.create(path);
    await cgroups.addProcess(path, process.pid);
  } catch (error) {
    logger.warn("Stayed in the control group of the session that started it", { error });
  }
}
