/**
 * The roles and bindings that every cluster has. What is missing is made, what lost rules or subjects gets them back, unless it is annotated
 * `rbac.authorization.kubernetes.io/autoupdate: "false"`. As kube-apiserver's post-start hook rbac/bootstrap-roles.
 */
import { isDeepStrictEqual } from "node:util";
import type { ClusterRole, PolicyRule, RoleBinding, Subject } from "#api/generated/types/rbac-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { aggregateRules } from "./cluster-role-aggregation.ts";
import { uncoveredRules } from "./policy-rule.ts";

const group = "rbac.authorization.k8s.io";
const autoUpdate = "rbac.authorization.kubernetes.io/autoupdate";
const resources: Readonly<Record<string, string>> = {
  ClusterRole: "clusterroles",
  ClusterRoleBinding: "clusterrolebindings",
  Role: "roles",
  RoleBinding: "rolebindings",
};

/** What {@link ensureRbacPolicy} did. */
export type RbacPolicyChanges = { readonly created: number; readonly updated: number };

/** The default roles and bindings, as new objects; aggregated roles have their rules already. */
export async function bootstrapRbacObjects(): Promise<readonly KubeObject[]> {
  // 72 kB that an API server needs only once.
  const { bootstrapRbacJson } = await import("./generated/bootstrap-rbac.ts");
  const objects = (JSON.parse(bootstrapRbacJson) as readonly KubeObject[]).map(withMarks);
  const clusterRoles = objects.filter((object) => object.kind === "ClusterRole") as readonly ClusterRole[];
  return objects.map((object) => {
    const role = object as ClusterRole;
    return role.aggregationRule ? { ...role, rules: aggregateRules(role, fixpoint(clusterRoles)) } : object;
  });
}

/** Makes and mends the default roles and bindings. Cheap when all is there: four lists, no write. The namespaces kube-system and kube-public must exist. */
export async function ensureRbacPolicy(client: Client): Promise<RbacPolicyChanges> {
  const wanted = await bootstrapRbacObjects();
  const existing = new Map<string, KubeObject>();
  const lists = Object.values(resources).map((resource) =>
    client.list({ resource: { group, version: "v1", resource } }),
  );
  for (const [index, list] of (await Promise.all(lists)).entries()) {
    const kind = Object.keys(resources)[index] as string;
    for (const object of list.items) existing.set(keyOf({ ...object, kind }), object);
  }
  const results = await Promise.all(wanted.map((object) => ensure(client, object, existing.get(keyOf(object)))));
  const count = (what: string) => results.filter((result) => result === what).length;
  return { created: count("created"), updated: count("updated") };
}

async function ensure(
  client: Client,
  wanted: KubeObject,
  found: KubeObject | undefined,
): Promise<"created" | "updated" | "kept"> {
  if (found === undefined) return create(client, wanted);
  if (found.metadata?.annotations?.[autoUpdate] === "false") return "kept";
  const isBinding = wanted.kind === "RoleBinding" || wanted.kind === "ClusterRoleBinding";
  if (isBinding && !isDeepStrictEqual((wanted as RoleBinding).roleRef, (found as RoleBinding).roleRef)) {
    // A binding's role cannot be changed, so it is made anew with the subjects it had.
    await client.delete(refOf(wanted));
    return create(client, mendBinding(wanted as RoleBinding, found as RoleBinding));
  }
  const mended = isBinding
    ? mendBinding(wanted as RoleBinding, found as RoleBinding)
    : mendRole(wanted as ClusterRole, found as ClusterRole);
  const merged = { ...found, ...mended, metadata: { ...found.metadata, ...mended.metadata } };
  if (isDeepStrictEqual(merged, found)) return "kept";
  await client.update(refOf(wanted), merged);
  return "updated";
}

async function create(client: Client, object: KubeObject): Promise<"created" | "kept"> {
  const { name: _name, ...collection } = refOf(object);
  try {
    await client.create(collection, object);
    return "created";
  } catch (error) {
    // Another API server was faster.
    if (hasReason(error, "AlreadyExists")) return "kept";
    throw error;
  }
}

function mendRole(wanted: ClusterRole, found: ClusterRole): KubeObject {
  const missing: readonly PolicyRule[] = wanted.aggregationRule
    ? []
    : uncoveredRules(found.rules ?? [], wanted.rules ?? []);
  const { aggregationRule: _rule, ...rest } = found;
  return {
    ...(missing.length > 0 ? { rules: [...(found.rules ?? []), ...missing] } : {}),
    ...(wanted.aggregationRule ? { aggregationRule: mendAggregation(wanted, found) } : {}),
    metadata: mendMetadata(wanted, rest),
  } as KubeObject;
}

function mendAggregation(wanted: ClusterRole, found: ClusterRole): ClusterRole["aggregationRule"] {
  const has = found.aggregationRule?.clusterRoleSelectors ?? [];
  const missing = (wanted.aggregationRule?.clusterRoleSelectors ?? []).filter(
    (one) => !has.some((other) => isDeepStrictEqual(one, other)),
  );
  return missing.length === 0
    ? (found.aggregationRule ?? {})
    : { ...found.aggregationRule, clusterRoleSelectors: [...has, ...missing] };
}

function mendBinding(wanted: RoleBinding, found: RoleBinding): KubeObject {
  const has: readonly Subject[] = found.subjects ?? [];
  const missing = (wanted.subjects ?? []).filter((one) => !has.some((other) => isDeepStrictEqual(one, other)));
  const subjects = missing.length === 0 ? {} : { subjects: [...has, ...missing] };
  const { apiVersion, kind, roleRef } = wanted;
  const binding: RoleBinding = { roleRef, ...subjects, metadata: mendMetadata(wanted, found) };
  return { apiVersion, kind, ...binding } as KubeObject;
}

/** What is there wins over what is wanted. */
function mendMetadata(wanted: KubeObject, found: KubeObject): NonNullable<KubeObject["metadata"]> {
  const name = wanted.metadata?.name as string;
  const namespace = wanted.metadata?.namespace;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    labels: { ...wanted.metadata?.labels, ...found.metadata?.labels },
    annotations: { ...wanted.metadata?.annotations, ...found.metadata?.annotations },
  };
}

function withMarks(object: KubeObject): KubeObject {
  const metadata = {
    ...object.metadata,
    annotations: { [autoUpdate]: "true" },
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...object.metadata?.labels },
  };
  return { ...object, metadata };
}

/** Roles that aggregate others that aggregate: twice is enough for view → edit → admin. */
function fixpoint(roles: readonly ClusterRole[]): readonly ClusterRole[] {
  const once = (all: readonly ClusterRole[]) =>
    all.map((role) => (role.aggregationRule ? { ...role, rules: aggregateRules(role, all) } : role));
  return once(once(roles));
}

function refOf(object: KubeObject): ResourceRef {
  const resource = { group, version: "v1", resource: resources[object.kind ?? ""] as string };
  const namespace = object.metadata?.namespace;
  return { resource, name: object.metadata?.name as string, ...(namespace === undefined ? {} : { namespace }) };
}

function keyOf(object: KubeObject): string {
  return `${object.kind}/${object.metadata?.namespace ?? ""}/${object.metadata?.name}`;
}
