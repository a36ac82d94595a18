/**
 * ClusterRoles of Knative's parts: those that give whoever may administer, edit or view a namespace the same in it with the part's objects, and any others.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const group = "rbac.authorization.k8s.io";
const resource = { group, version: "v1", resource: "clusterroles" };

/** What may be done to what. */
export type RoleRule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
};

/** The three roles that are added to Kubernetes' own. */
export type NamespacedRole = "admin" | "edit" | "view";
export const namespacedRoles: readonly NamespacedRole[] = ["admin", "edit", "view"];

/** Verbs of those who look. */
export const readVerbs: readonly string[] = ["get", "list", "watch"];

/** The label by which a role's rules become Kubernetes' own role's too. */
export function aggregateTo(role: NamespacedRole): Readonly<Record<string, string>> {
  return { [`${group}/aggregate-to-${role}`]: "true" };
}

/** A ClusterRole. */
export function clusterRole(
  name: string,
  options: { readonly labels: Readonly<Record<string, string>>; readonly rules: readonly RoleRule[] },
): KubeObject {
  const { labels, rules } = options;
  const role = { apiVersion: `${group}/v1`, kind: "ClusterRole", metadata: { name, labels }, rules };
  return role as KubeObject;
}

/** The three roles for kinds of our own group: who may edit may look, without upstream's role for that. `part`: "nodeless-functions". */
export function ownKindRoles(part: string, kinds: readonly string[]): readonly KubeObject[] {
  const edit = ["create", "update", "patch", "delete", ...readVerbs];
  const verbs = { admin: ["*"], edit, view: readVerbs };
  return namespacedRoles.map((role) =>
    clusterRole(`${part}-${role}`, {
      labels: aggregateTo(role),
      rules: [{ apiGroups: ["nodeless.dev"], resources: kinds, verbs: verbs[role] }],
    }),
  );
}

/** A ClusterRole whose rules are those of all roles that have a label. */
export function aggregatingRole(
  name: string,
  options: { readonly labels: Readonly<Record<string, string>>; readonly aggregates: string },
): KubeObject {
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { [options.aggregates]: "true" } }] };
  return { ...clusterRole(name, { labels: options.labels, rules: [] }), aggregationRule } as KubeObject;
}

type Role = KubeObject & { readonly rules?: readonly RoleRule[]; readonly aggregationRule?: object };

/** Makes the roles that are missing, and gives those of an earlier edition the rules of this one. */
export async function ensureClusterRoles(
  client: Client,
  roles: readonly KubeObject[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    roles.map(async (role) => {
      try {
        await client.create({ resource }, role, { signal });
      } catch (error) {
        if (!hasReason(error, "AlreadyExists")) throw error;
        await renew(client, role, signal);
      }
    }),
  );
}

/** Rules of a role that aggregates are the server's to write. */
async function renew(client: Client, { metadata, rules, aggregationRule }: Role, signal: AbortSignal): Promise<void> {
  const ref = { resource, name: metadata?.name ?? "" };
  const found = await client.get<Role>(ref, { signal });
  if (aggregationRule !== undefined || JSON.stringify(found.rules) === JSON.stringify(rules)) return;
  await client.patch(ref, { type: "merge", body: { rules } }, { signal });
}
