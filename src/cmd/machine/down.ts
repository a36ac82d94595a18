/**
 * `nodeless down`, `reset` and `delete`: the ways a cluster ends.
 */
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { removeFromKubeconfig } from "#cli/kubeconfig.ts";
import type { Terminal } from "#cli/terminal.ts";
import { removeBootUnit } from "./boot.ts";
import { type Cluster, contextName, inStage, type MachineContext, nodeNames, underClusterLock } from "./clusters.ts";
import { endProcesses } from "./end-processes.ts";
import { whenInterrupted } from "./interrupts.ts";
import { controlPlaneSocket } from "./layout.ts";
import { listPermitHolders, withdrawPermit } from "./run-permit.ts";
import { releaseSlot } from "./slot-claim.ts";
import { watchPeer } from "./supervision.ts";
import { tearDownNode, tearDownCluster } from "./teardown.ts";

/** Stops the cluster. "idle" when nothing ran, "deleted" when another command removed it meanwhile. */
export async function takeDown(
  context: MachineContext,
  cluster: Cluster,
  terminal: Terminal,
): Promise<"stopped" | "idle" | "deleted"> {
  // Looked at before the permit is withdrawn: an `up` that is under way ends by that what it has started.
  const wasRunning = listPermitHolders(cluster.layout).length > 0;
  return await alone(context, cluster, terminal, async () => {
    const ended = await stopCluster(context, cluster, terminal);
    if (!existsSync(cluster.layout.folder)) return "deleted";
    return ended || wasRunning ? "stopped" : "idle";
  });
}

/** Stops processes and containers, and takes away what they had in the kernel. False when nothing ran. */
export async function stopCluster(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<boolean> {
  const end = endProcesses(cluster, "containers");
  await inStage(terminal, "Stopping containers and nodes", end.nodes);
  const ended = await inStage(terminal, "Stopping the control plane", async () => {
    const count = await end.all();
    for (const index of nodeNames(cluster.record).keys()) await tearDownNode(context, cluster, index);
    await tearDownCluster(context, cluster);
    rmSync(cluster.layout.run, { recursive: true, force: true });
    return count;
  });
  return ended > 0;
}

/** Waits for Ctrl-C or SIGTERM, then takes the cluster down; ends too when somebody else took it down. */
export async function stayUntilStopped(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<void> {
  const interrupted = new Promise<"interrupted">((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve("interrupted"));
  });
  // Not before: who reads it may press it at once.
  terminal.print("Ctrl-C stops it.");
  const socket = controlPlaneSocket(cluster.layout);
  const ended = (async () => {
    for (;;) {
      const wasGoodbye = await new Promise<boolean>((resolve) => {
        void watchPeer(socket, { onEnd: resolve }).then((peer) => peer === undefined && resolve(true));
      });
      if (wasGoodbye) return "ended" as const;
      await new Promise((resolve) => setTimeout(resolve, 1000)); // its node starts it again
    }
  })();
  if ((await Promise.race([interrupted, ended])) === "interrupted") await takeDown(context, cluster, terminal);
}

/** Removes everything of a cluster, after stopping it. */
export async function removeCluster(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<void> {
  const { record, layout } = cluster;
  await alone(context, cluster, terminal, async () => {
    await stopCluster(context, cluster, terminal);
    removeFromKubeconfig(record.kubeconfig, contextName(record.name));
    removeBootUnit(context, record.name);
    releaseSlot(cluster);
    const { removeClusterImages } = await import("./image-cleanup.ts");
    // A registry that is damaged keeps nobody from deleting a cluster.
    await removeClusterImages(cluster).catch((error: Error) =>
      terminal.warn(
        `Images of its functions stay in the registry, and 'nodeless image rm --all' removes them: ${error.message}`,
      ),
    );
    rmSync(layout.folder, { recursive: true, force: true });
    rmSync(join(context.dataRoot, "clusters", record.name), { recursive: true, force: true });
  });
  removeIfEmpty(context.runRoot);
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // other clusters have theirs in it
  }
}

/** Does something to the cluster while no other command does. An `up` that is under way is broken off. */
export async function alone<T>(
  context: MachineContext,
  { record, layout }: Cluster,
  terminal: Terminal,
  work: () => Promise<T>,
): Promise<T> {
  withdrawPermit(layout);
  const say = () =>
    terminal.warn(
      `Interrupted: what runs of cluster "${record.name}" goes on ending. 'nodeless status --name ${record.name}' shows it; the same command again completes it.`,
    );
  return await whenInterrupted(say, () => underClusterLock(context, { name: record.name, terminal }, work));
}
