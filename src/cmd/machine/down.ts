/**
 * `nodeless down`, `reset` and `delete`: the ways a cluster ends.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { removeFromKubeconfig } from "#cli/kubeconfig.ts";
import type { Terminal } from "#cli/terminal.ts";
import { nodeName } from "./address-plan.ts";
import { removeBootUnit } from "./boot.ts";
import { type Cluster, contextName, inStage, type MachineContext } from "./clusters.ts";
import { controlPlaneSocket, nodeLayout } from "./layout.ts";
import { watchPeer } from "./supervision.ts";
import { tearDownNode, tearDownCluster } from "./teardown.ts";

/** Stops processes and containers. False when nothing ran. */
export async function stopCluster(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<boolean> {
  const { record, layout } = cluster;
  const nodes = nodeNames(cluster);
  // The control plane goes last: nodes report what became of their pods.
  const stoppedNodes = await inStage(terminal, "Stopping containers and nodes", () =>
    Promise.all(nodes.map((node) => stopProcess(nodeLayout(layout, node).socket))),
  );
  const stoppedControlPlane = await inStage(terminal, "Stopping the control plane", () =>
    stopProcess(controlPlaneSocket(layout)),
  );
  for (const index of nodes.keys()) await tearDownNode(context, cluster, index);
  await tearDownCluster(context, cluster);
  rmSync(layout.run, { recursive: true, force: true });
  return stoppedControlPlane || stoppedNodes.includes(true) || record === undefined;
}

/** Waits for Ctrl-C or SIGTERM, then takes the cluster down; ends too when somebody else took it down. */
export async function stayUntilStopped(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<void> {
  const interrupted = new Promise<"interrupted">((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve("interrupted"));
  });
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
  if ((await Promise.race([interrupted, ended])) === "interrupted") await stopCluster(context, cluster, terminal);
}

/** Removes all objects and containers, and keeps name, addresses, certificates and settings. The cluster must be stopped. */
export function emptyCluster({ layout }: Cluster): void {
  rmSync(layout.store, { recursive: true, force: true });
  rmSync(join(layout.folder, "nodes"), { recursive: true, force: true });
}

/** Removes everything of a stopped cluster. */
export function removeCluster(context: MachineContext, { record, layout }: Cluster): void {
  removeFromKubeconfig(record.kubeconfig, contextName(record.name));
  removeBootUnit(record.name);
  rmSync(layout.folder, { recursive: true, force: true });
  rmSync(join(context.dataRoot, "clusters", record.name), { recursive: true, force: true });
}

/** Names of the cluster's nodes. */
export function nodeNames({ record }: Cluster): string[] {
  return Array.from({ length: record.nodes }, (_, index) => nodeName(record.name, record.nodes, index));
}

async function stopProcess(socket: string): Promise<boolean> {
  const peer = await watchPeer(socket);
  await peer?.stop("containers");
  return peer !== undefined;
}
