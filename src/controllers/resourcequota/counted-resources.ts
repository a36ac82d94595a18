/**
 * Which resources the names in a quota are about: "requests.cpu" about pods, "count/deployments.apps" about deployments.
 */
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const ofCore = (resource: string): GroupVersionResource => ({ group: "", version: "v1", resource });
const counted = ["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];

/** The resources, each once. What the server does not serve (a custom resource that is gone) is left out. */
export async function countedResources(
  client: Client,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly GroupVersionResource[]> {
  const found = new Map<string, GroupVersionResource>();
  for (const name of names) {
    const resource = name.startsWith("count/")
      ? await findCounted(client, name.slice("count/".length), signal)
      : ofName(name);
    if (resource) found.set(`${resource.group}/${resource.resource}`, resource);
  }
  return [...found.values()];
}

function ofName(name: string): GroupVersionResource | undefined {
  if (counted.includes(name)) return ofCore(name);
  if (name === "services" || name.startsWith("services.")) return ofCore("services");
  if (
    name === "persistentvolumeclaims" ||
    name === "requests.storage" ||
    name.includes(".storageclass.storage.k8s.io/")
  ) {
    return ofCore("persistentvolumeclaims");
  }
  return ofCore("pods");
}

async function findCounted(
  client: Client,
  name: string,
  signal: AbortSignal,
): Promise<GroupVersionResource | undefined> {
  const [resource = "", ...rest] = name.split(".");
  const group = rest.join(".");
  if (group === "") return ofCore(resource);
  try {
    const { body } = await client.transport.request({ method: "GET", path: `/apis/${group}`, signal });
    const version = (body as { readonly preferredVersion?: { readonly version?: string } }).preferredVersion?.version;
    return version ? { group, version, resource } : undefined;
  } catch (error) {
    if (hasReason(error, "NotFound")) return undefined;
    throw error;
  }
}
