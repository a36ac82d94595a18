/**
 * Ownership across the scale subresource: `.spec.replicas` of a Scale is a field of its parent. As apimachinery's ScaleHandler.
 */
import type { ManagedFieldsEntry } from "#apimachinery/meta.ts";
import { difference, hasField, isEmptySet, setOfField } from "./field-set.ts";
import { decodeManagers, encodeManagers, type Manager, managerKey } from "./managers.ts";

/** Where replicas stand in each version of the parent, as path elements: `{ "apps/v1": ["f:spec", "f:replicas"] }`. */
export type ReplicasPaths = Readonly<Record<string, readonly string[] | undefined>>;

const scaleVersion = "autoscaling/v1";
const replicasInScale: readonly string[] = ["f:spec", "f:replicas"];

/** The entries that the parent's Scale shows. */
export function managedFieldsOfScale(
  parent: readonly ManagedFieldsEntry[] | undefined,
  paths: ReplicasPaths,
): readonly ManagedFieldsEntry[] | undefined {
  const shown = new Map<string, Manager>();
  for (const manager of decodeManagers(parent).values()) {
    const path = paths[manager.apiVersion];
    if (path === undefined || !hasField(manager.set, path)) continue;
    const entry = { ...manager, apiVersion: scaleVersion, set: setOfField(replicasInScale) };
    shown.set(managerKey(entry) + manager.apiVersion, entry);
  }
  return encodeManagers(shown);
}

/** The parent's entries after a write to its Scale left `scale`. `apiVersion` is the parent's in this request. */
export function managedFieldsOfParent(
  parent: readonly ManagedFieldsEntry[] | undefined,
  scale: readonly ManagedFieldsEntry[] | undefined,
  { paths, apiVersion }: { readonly paths: ReplicasPaths; readonly apiVersion: string },
): readonly ManagedFieldsEntry[] | undefined {
  const pending = new Map<string, Manager>();
  for (const manager of decodeManagers(scale).values()) pending.set(sameManager(manager), manager);
  const kept = new Map<string, Manager>();
  for (const [key, manager] of decodeManagers(parent)) {
    if (!Object.hasOwn(paths, manager.apiVersion)) continue;
    const path = paths[manager.apiVersion];
    const ownsReplicas = path !== undefined && hasField(manager.set, path);
    const stays = !ownsReplicas || pending.delete(sameManager(manager));
    const set = stays ? manager.set : difference(manager.set, setOfField(path as readonly string[]));
    if (!isEmptySet(set)) kept.set(key, set === manager.set ? manager : { ...manager, set });
  }
  const path = paths[apiVersion];
  for (const manager of pending.values()) {
    if (path === undefined || !hasField(manager.set, replicasInScale)) continue;
    const entry = { ...manager, apiVersion, set: setOfField(path) };
    kept.set(managerKey(entry), entry);
  }
  return encodeManagers(kept, parent);
}

/** A manager of the Scale and one of its parent are the same whatever their versions. */
function sameManager(manager: Manager): string {
  return `${manager.name}\n${manager.operation}\n${manager.subresource}`;
}
