/**
 * How names of objects that belong to others are made, and how annotations with several spellings are read. As upstream's `knative.dev/pkg/kmeta` and `kmap`.
 */
import { createHash } from "node:crypto";

/** An annotation's key and its older spellings: the first that is present counts. */
export type KeyPriority = readonly [string, ...string[]];

/** The first of an annotation's spellings that is there, with its value. */
export function findAnnotation(
  all: Readonly<Record<string, string>> | undefined,
  keys: KeyPriority,
): { readonly key: string; readonly value: string } | undefined {
  for (const key of keys) {
    const value = all?.[key];
    if (value !== undefined) return { key, value };
  }
  return undefined;
}

const maxNameLength = 63;
const hashLength = 32;
const headLength = maxNameLength - hashLength;

/** `parent` + `suffix`, shortened by a hash when it would be no DNS label any more. The same names as upstream's `kmeta.ChildName`, so that objects made elsewhere are found. */
export function childName(parent: string, suffix: string): string {
  if (parent.length + suffix.length <= maxNameLength) return parent + suffix;
  if (suffix.length < headLength) return parent.slice(0, headLength - suffix.length) + md5(parent) + suffix;
  // Such a suffix leaves no room for the parent's hash: one hash stands for both.
  const hashed = parent.slice(0, headLength) + md5(parent + suffix);
  return (hashed + suffix.slice(0, maxNameLength - hashed.length)).replace(/[^a-zA-Z0-9]+$/, "");
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}
