/**
 * A cluster's context in the user's kubeconfig.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hasContext, type KubeconfigEntry, mergeKubeconfig } from "#cli/kubeconfig.ts";
import { type Cluster, contextName } from "./clusters.ts";

/** Puts the context into the kubeconfig; gives what the user should know about it. */
export function writeContext(cluster: Cluster): string[] {
  const { isCurrent } = mergeKubeconfig(cluster.record.kubeconfig, entryOf(cluster));
  if (isCurrent) return [];
  return [`The current kubectl context was left as it is; use --context ${contextName(cluster.record.name)}.`];
}

/** Writes it again, with the certificate of now. A context that the user removed stays away. */
export function renewContext(cluster: Cluster): void {
  const { kubeconfig, name } = cluster.record;
  if (hasContext(kubeconfig, contextName(name))) mergeKubeconfig(kubeconfig, entryOf(cluster));
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
