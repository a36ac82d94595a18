/**
 * What admission plugins share: refusing in upstream's words, asking what a write is about, waiting for local copies.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { forbidden, hasReason, type StatusError } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import { cloneJson } from "#apimachinery/json.ts";
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

/** A copy of the write's object to change. */
export function draftOf({ object }: AdmissionAttributes): Draft {
  return cloneJson(object) as Draft;
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
