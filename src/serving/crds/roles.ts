/**
 * Lets whoever may administer, edit or view a namespace do the same with its Knative objects. Names as upstream's `config/core/200-roles/clusterrole-namespaced.yaml` (v1.23).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const group = "rbac.authorization.k8s.io";
const servingGroups = ["serving.knative.dev"];
/** Serving's own affair: to be looked at. */
const internalGroups = ["networking.internal.knative.dev", "autoscaling.internal.knative.dev"];
const read = ["get", "list", "watch"];

const verbs = {
  admin: ["*"],
  edit: ["create", "update", "patch", "delete"],
  view: read,
};

/** Makes the roles that are missing. */
export async function ensureRoles(client: Client, signal: AbortSignal): Promise<void> {
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
  const aggregate = { [`${group}/aggregate-to-${role}`]: "true" };
  const object = {
    apiVersion: `${group}/v1`,
    kind: "ClusterRole",
    metadata: {
      name: `knative-serving-namespaced-${role}`,
      labels: { ...aggregate, "app.kubernetes.io/name": "knative-serving" },
    },
    rules: [
      { apiGroups: servingGroups, resources: ["*"], verbs: verbs[role] },
      { apiGroups: internalGroups, resources: ["*"], verbs: read },
    ],
  };
  return object as KubeObject;
}
