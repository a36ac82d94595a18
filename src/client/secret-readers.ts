/**
 * The right of a group to read some Secrets of a namespace by name, and no other: a Role that names them and a RoleBinding beside it. Whoever keeps it says which Secrets these are, again and again.
 */
import type { Role } from "#api/generated/types/rbac-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "./client.ts";
import { ensureDeleted } from "./find-object.ts";

const group = "rbac.authorization.k8s.io";
/** For whoever watches the Roles that it keeps. */
export const roleResource: GroupVersionResource = { group, version: "v1", resource: "roles" };
const bindingResource: GroupVersionResource = { group, version: "v1", resource: "rolebindings" };

/** Whose right it is, and under which name. */
export type SecretReadersOptions = {
  readonly client: Client;
  /** Of Role and RoleBinding. */
  readonly name: string;
  /** A label on both. */
  readonly label: string;
  /** The group that may read. */
  readonly readers: string;
};

/** What is wanted in a namespace. */
export type ReadableSecrets = {
  readonly namespace: string;
  /** None: the right goes. */
  readonly names: readonly string[];
  /** The Role as it is now, if it is there. */
  readonly role: Role | undefined;
  readonly signal: AbortSignal;
};

/** Makes Role and RoleBinding what they should be; writes nothing when they are. */
export async function keepSecretReaders(options: SecretReadersOptions, wanted: ReadableSecrets): Promise<void> {
  const { name, label, readers } = options;
  const names = [...new Set(wanted.names)].sort();
  if (names.length === 0) {
    if (wanted.role !== undefined) await remove(options, wanted);
    return;
  }
  const rules = [{ apiGroups: [""], resources: ["secrets"], resourceNames: names, verbs: ["get", "list", "watch"] }];
  if (JSON.stringify(wanted.role?.rules) === JSON.stringify(rules)) return;
  const head = { apiVersion: `${group}/v1`, metadata: { name, labels: { [label]: "" } } };
  const subjects = [{ apiGroup: group, kind: "Group", name: readers }];
  const roleRef = { apiGroup: group, kind: "Role", name };
  await put(options, wanted, { resource: roleResource, object: { ...head, kind: "Role", rules } as KubeObject });
  const binding = { ...head, kind: "RoleBinding", roleRef, subjects } as KubeObject;
  await put(options, wanted, { resource: bindingResource, object: binding });
}

async function put(
  { client, name }: SecretReadersOptions,
  { namespace, signal }: ReadableSecrets,
  { resource, object }: { readonly resource: GroupVersionResource; readonly object: KubeObject },
): Promise<void> {
  try {
    await client.create({ resource, namespace }, object, { signal });
  } catch (error) {
    if (!hasReason(error, "AlreadyExists")) throw error;
    await client.patch({ resource, namespace, name }, { type: "merge", body: object }, { signal });
  }
}

async function remove({ client, name }: SecretReadersOptions, { namespace, signal }: ReadableSecrets): Promise<void> {
  for (const resource of [bindingResource, roleResource]) {
    await ensureDeleted(client, { resource, namespace, name }, { signal });
  }
}
