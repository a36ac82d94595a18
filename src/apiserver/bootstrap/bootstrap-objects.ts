/**
 * Objects that every cluster has from its first start: the system namespaces and the two priority classes of the system.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

const PRIORITY_CLASSES = [
  {
    name: "system-node-critical",
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    name: "system-cluster-critical",
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

/** Creates what is missing. Called again at each start. */
export async function ensureBootstrapObjects(client: Client): Promise<void> {
  const namespaces = { group: "", version: "v1", resource: "namespaces" };
  const classes = { group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses" };
  await Promise.all([
    ...NAMESPACES.map((name) => ensure(client, { resource: namespaces, name }, { metadata: { name } })),
    ...PRIORITY_CLASSES.map(({ name, value, description }) => {
      const object = { metadata: { name }, value, description } as KubeObject;
      return ensure(client, { resource: classes, name }, object);
    }),
  ]);
}

async function ensure(client: Client, ref: ResourceRef, object: KubeObject): Promise<void> {
  try {
    await client.get(ref);
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    await create(client, ref, object);
  }
}

async function create(client: Client, { resource }: ResourceRef, object: KubeObject): Promise<void> {
  try {
    await client.create({ resource }, object);
  } catch (error) {
    if (!hasReason(error, "AlreadyExists")) throw error;
  }
}
