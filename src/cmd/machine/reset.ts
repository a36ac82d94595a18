/**
 * `nodeless reset`: all objects and containers go; name, addresses, certificates and settings stay.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Terminal } from "#cli/terminal.ts";
import { type Cluster, inStage, type MachineContext } from "./clusters.ts";
import { writeContext } from "./context.ts";
import { alone, stopCluster } from "./down.ts";
import { type ClusterLayout, eventingLayout } from "./layout.ts";
import { listPermitHolders } from "./run-permit.ts";
import { startCluster } from "./up.ts";

/** Empties a cluster. It runs again afterwards if it ran before. */
export async function resetCluster(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<void> {
  const wasRunning = listPermitHolders(cluster.layout).length > 0;
  await alone(context, cluster, terminal, async () => {
    await stopCluster(context, cluster, terminal);
    await inStage(terminal, "Removing all objects", async () => emptyCluster(cluster.layout));
    if (!wasRunning) return;
    await startCluster(context, cluster, terminal);
    writeContext(cluster);
  });
}

/** The cluster is emptied by one step, the renaming of its store: a reset that is broken off has either done nothing or all that matters. */
function emptyCluster(layout: ClusterLayout): void {
  const remains = `${layout.store}.removed`;
  rmSync(remains, { recursive: true, force: true });
  if (existsSync(layout.store)) renameSync(layout.store, remains);
  for (const path of [join(layout.folder, "nodes"), eventingLayout(layout).data, remains])
    rmSync(path, { recursive: true, force: true });
}
