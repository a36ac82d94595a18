/**
 * metadata of new objects: generated names, uid, timestamps, and the namespace of the request.
 */
import { randomFillSync, randomUUID } from "node:crypto";
import type { Draft } from "#api/strategy.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { ServedResource } from "./served-resource.ts";

const SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH = 5;
const MAX_BASE_LENGTH = 63 - SUFFIX_LENGTH;

/** A name for `generateName`: the base, cut to 58, and five random characters. */
export function generateName(base: string): string {
  const bytes = randomFillSync(new Uint8Array(SUFFIX_LENGTH));
  let suffix = "";
  for (const byte of bytes) suffix += SUFFIX_ALPHABET[byte % SUFFIX_ALPHABET.length];
  return base.slice(0, MAX_BASE_LENGTH) + suffix;
}

/** RFC 3339 in UTC with whole seconds, as all times in metadata. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The draft's metadata, made when it is absent. */
export function metadataOf(draft: Draft): Draft {
  const { metadata } = draft;
  if (typeof metadata === "object" && metadata !== null && !Array.isArray(metadata)) return metadata as Draft;
  draft["metadata"] = {};
  return draft["metadata"] as Draft;
}

/** Sets what only the server sets on a new object, and drops what a client may not set. */
export function fillSystemFields(draft: Draft, nowMs: number): void {
  const metadata = metadataOf(draft);
  metadata["uid"] = randomUUID();
  metadata["creationTimestamp"] = formatTime(nowMs);
  delete metadata["deletionTimestamp"];
  delete metadata["deletionGracePeriodSeconds"];
  delete metadata["resourceVersion"];
  delete metadata["selfLink"];
}

/** Puts the object into the request's namespace. Throws BadRequest when it names another one. */
export function ensureNamespace(draft: Draft, resource: ServedResource, requestNamespace: string): void {
  const metadata = metadataOf(draft);
  const expected = resource.facts.isNamespaced ? requestNamespace : "";
  const given = (metadata["namespace"] ?? "") as string;
  if (given === expected) {
    if (expected === "") delete metadata["namespace"];
    return;
  }
  if (given !== "" && expected !== "") {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (expected === "") delete metadata["namespace"];
  else metadata["namespace"] = expected;
}
