/**
 * Lets whoever may administer or edit a namespace push to its Repositories, and whoever may view it fetch.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { deliveryGroup } from "#delivery/kinds.ts";

const group = "rbac.authorization.k8s.io";
const read = ["get", "list", "watch"];
const verbs = { admin: ["*"], edit: ["create", "update", "patch", "delete", ...read], view: read };

/** Makes the roles that are missing. */
export async function ensureRepositoryRoles(client: Client, signal: AbortSignal): Promise<void> {
  await Promise.all(
    (["admin", "edit", "view"] as const).map(async (role) => {
      try {
        await client.create({ resource: { group, version: "v1", resource: "clusterroles" } }, roleOf(role), { signal });
      } catch (error) {
        if (!hasReason(error, "AlreadyExists")) throw error;
      }
    }),
  );
}

function roleOf(role: keyof typeof verbs): KubeObject {
  const object = {
    apiVersion: `${group}/v1`,
    kind: "ClusterRole",
    metadata: { name: `nodeless-delivery-${role}`, labels: { [`${group}/aggregate-to-${role}`]: "true" } },
    rules: [{ apiGroups: [deliveryGroup], resources: ["repositories"], verbs: verbs[role] }],
  };
  return object as KubeObject;
}
