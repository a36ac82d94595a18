/**
 * Between revisions ("namespace/name") and the names that their clusters have in the engine.
 */
import { splitKey } from "#client/object-store.ts";
import { clusterName, clusterPrefix, ownPrefix } from "./engine-config.ts";

/** Name of the cluster of all of a revision's pods. */
export function clusterOfKey(key: string): string {
  const { namespace, name } = splitKey(key);
  return clusterName(namespace, name);
}

/** Name of the cluster of the pods that run on this node, where there are several nodes. */
export function ownClusterOfKey(key: string): string {
  return `${ownPrefix}${key}`;
}

/** The reverse of both. */
export function keyOfCluster(cluster: string): string {
  return cluster.slice((cluster.startsWith(ownPrefix) ? ownPrefix : clusterPrefix).length);
}
