/**
 * Who owns an object, and how a controller takes objects that match its selector and gives up those that no longer do. As client-go's controller references.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { matchesSelector } from "#apimachinery/label-selector.ts";
import type { Selector } from "#apimachinery/label-selector.ts";
import { controllerOf, controllerReference } from "#apimachinery/owner-references.ts";
import { hasReason, StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

/** What {@link claimObjects} needs. */
export type Claim<T extends KubeObject> = {
  readonly client: Client;
  /** Of the objects that are claimed. */
  readonly resource: GroupVersionResource;
  readonly owner: KubeObject;
  readonly ownerResource: GroupVersionResource;
  readonly selector: Selector;
  /** Objects of the owner, and orphans of its namespace. */
  readonly candidates: readonly T[];
  readonly signal: AbortSignal;
  /** Finalizers to add to what is adopted. */
  readonly finalizers?: readonly string[];
};

/** Gives the objects that are the owner's: adopts orphans that match its selector, releases its own that do not. */
export async function claimObjects<T extends KubeObject>(claim: Claim<T>): Promise<readonly T[]> {
  const claimed: T[] = [];
  let canAdopt: Promise<boolean> | undefined;
  for (const candidate of claim.candidates) {
    const controller = controllerOf(candidate);
    const isMatch = matchesSelector(claim.selector, candidate.metadata?.labels);
    if (controller !== undefined) {
      if (controller.uid !== claim.owner.metadata?.uid) continue;
      if (isMatch) claimed.push(candidate);
      else if (claim.owner.metadata?.deletionTimestamp === undefined) await release(claim, candidate);
      continue;
    }
    if (!isMatch || isDeleted(candidate) || isDeleted(claim.owner)) continue;
    canAdopt ??= isStillThere(claim);
    if ((await canAdopt) && (await adopt(claim, candidate))) claimed.push(candidate);
  }
  return claimed;
}

/** The local copy may be old: an owner that is being deleted must not adopt, or its orphans would be deleted with it. */
async function isStillThere(claim: Claim<KubeObject>): Promise<boolean> {
  const { name = "", namespace = "", uid } = claim.owner.metadata ?? {};
  const fresh = await claim.client.get({ resource: claim.ownerResource, namespace, name }, { signal: claim.signal });
  if (fresh.metadata?.uid !== uid) {
    throw new Error(
      `original ${claim.owner.kind} ${namespace}/${name} is gone: got uid ${fresh.metadata?.uid}, wanted ${uid}`,
    );
  }
  return !isDeleted(fresh);
}

/** False when the object is gone or somebody else's by now. */
async function adopt(claim: Claim<KubeObject>, object: KubeObject): Promise<boolean> {
  const { metadata } = object;
  const ownerReferences = [...(metadata?.ownerReferences ?? []), controllerReference(claim.owner)];
  const finalizers = [...new Set([...(metadata?.finalizers ?? []), ...(claim.finalizers ?? [])])];
  const added = claim.finalizers === undefined ? { ownerReferences } : { ownerReferences, finalizers };
  return await patchMetadata(claim, object, added);
}

async function release(claim: Claim<KubeObject>, object: KubeObject): Promise<void> {
  const owners = object.metadata?.ownerReferences ?? [];
  const ownerReferences = owners.filter((owner) => owner.uid !== claim.owner.metadata?.uid);
  await patchMetadata(claim, object, { ownerReferences });
}

async function patchMetadata(claim: Claim<KubeObject>, object: KubeObject, change: object): Promise<boolean> {
  const { name = "", namespace = "", uid, resourceVersion } = object.metadata ?? {};
  // A merge patch replaces the whole list of owners; the resourceVersion makes sure that it is the one we saw.
  const body = { metadata: { uid, resourceVersion, ...change } };
  try {
    await claim.client.patch(
      { resource: claim.resource, namespace, name },
      { type: "merge", body },
      { signal: claim.signal },
    );
    return true;
  } catch (error) {
    if (hasReason(error, "NotFound") || (error instanceof StatusError && error.code === 422)) return false;
    throw error;
  }
}

function isDeleted(object: KubeObject): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}
