/**
 * A cluster's context in the user's kubeconfig.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "#cli/command.ts";
import { hasContext, type KubeconfigEntry, mergeKubeconfig, removeFromKubeconfig } from "#cli/kubeconfig.ts";
import { readClusterRecord, writeClusterRecord } from "./cluster-record.ts";
import { type Cluster, contextName } from "./clusters.ts";

/** Puts the context into the kubeconfig; gives what the user should know about it. */
export function writeContext(cluster: Cluster): string[] {
  const { isCurrent } = mergeKubeconfig(cluster.record.kubeconfig, entryOf(cluster));
  if (isCurrent) return [];
  return [`The current kubectl context was left as it is; use --context ${contextName(cluster.record.name)}.`];
}

/** Writes it again, with the certificate of now. A context that the user removed stays away. */
export function renewContext(cluster: Cluster): void {
  const { name } = cluster.record;
  // `up --kubeconfig` may have moved it since the cluster came up.
  const { kubeconfig } = readClusterRecord(cluster.layout.folder, name) ?? cluster.record;
  if (hasContext(kubeconfig, contextName(name))) mergeKubeconfig(kubeconfig, entryOf(cluster));
}

/** From now on the cluster's context belongs into another file; what is in the one before is taken out. */
export function moveContext(cluster: Cluster, kubeconfig: string): Cluster {
  const { record, layout } = cluster;
  const moved = { ...record, kubeconfig };
  writeClusterRecord(layout.folder, moved);
  leaveKubeconfig(record);
  return { record: moved, layout };
}

/** Takes the context out of a file that the cluster has left. */
export function leaveKubeconfig({ kubeconfig, name }: Cluster["record"]): void {
  try {
    removeFromKubeconfig(kubeconfig, contextName(name));
  } catch (error) {
    // One that is damaged may be why the context moves.
    if (!(error instanceof UserError) && !("syscall" in (error as Error))) throw error;
  }
}

function entryOf({ record, layout }: Cluster): KubeconfigEntry {
  const read = (file: string) => readFileSync(join(layout.pki, file), "utf8");
  return {
    name: contextName(record.name),
    server: `https://127.0.0.1:${record.apiPort}`,
    certificateAuthority: read("ca.crt"),
    clientCertificate: read("admin.crt"),
    clientKey: read("admin.key"),
  };
}
