/**
 * What admission plugins share: refusing in upstream's words, asking what a write is about, waiting for local copies.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { forbidden, hasReason, type StatusError } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";

/** Longest that a plugin waits for a local copy after the start of the server. */
const syncTimeoutMs = 10_000;

/** 403 for this write: `pods "web" is forbidden: …`. */
export function refuse(attributes: AdmissionAttributes, why: string): StatusError {
  const { request, object } = attributes;
  const name = request.name || object?.metadata?.name || object?.metadata?.generateName || "Unknown";
  return forbidden({ group: request.apiGroup, resource: request.resource, name }, why);
}

/** True when the write is to this resource and subresource ("" is the resource itself). */
export function isWriteTo(
  { request }: AdmissionAttributes,
  group: string,
  resource: string,
  subresource = "",
): boolean {
  return request.apiGroup === group && request.resource === resource && request.subresource === subresource;
}

/**
 * A copy of the write's object to change: the object itself, its metadata and spec, and each of a pod's containers. What lies deeper is shared: it is
 * replaced, not changed. A whole copy for each plugin was a tenth of what it costs to make a pod.
 */
export function draftOf({ object }: AdmissionAttributes): Draft {
  const { metadata, spec, ...rest } = object as Draft;
  return { ...rest, ...(metadata && { metadata: { ...metadata } }), ...(spec && { spec: specDraftOf(spec) }) };
}

function specDraftOf(spec: Draft): Draft {
  const copy: Draft = { ...spec };
  for (const field of ["containers", "initContainers", "ephemeralContainers"]) {
    if (Array.isArray(copy[field])) copy[field] = copy[field].map((container: Draft) => ({ ...container }));
  }
  return copy;
}

/** Waits until the local copy is there: at once, but for the first moments of the server. */
export async function synced<T extends KubeObject>(informer: Informer<T>): Promise<Informer<T>["lister"]> {
  if (!informer.hasSynced()) await informer.waitForSync(AbortSignal.timeout(syncTimeoutMs));
  return informer.lister;
}

/** The object as the server has it now: for what the local copy does not know yet. */
export async function findLive<T extends KubeObject>(client: Client, ref: ResourceRef): Promise<T | undefined> {
  try {
    return await client.get<T>(ref);
  } catch (error) {
    if (hasReason(error, "NotFound")) return undefined;
    throw error;
  }
}
