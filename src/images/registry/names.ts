/**
 * What names and digests may look like in a registry. They become paths, so what does not fit never gets further.
 */
import { RegistryFault } from "./registry-fault.ts";

const part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const repositoryPattern = new RegExp(`^${part}(?:/${part})*$`);
const tagPattern = /^\w[\w.-]{0,127}$/;
const lengths: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };
const longestName = 255;

/** The digest algorithms that a registry must know, and one that it may. */
export type DigestAlgorithm = "sha256" | "sha512";

/** Throws {@link RegistryFault} for what cannot be a repository. */
export function checkRepository(name: string): string {
  if (name.length <= longestName && repositoryPattern.test(name)) return name;
  throw new RegistryFault("NAME_INVALID", `invalid repository name ${JSON.stringify(name.slice(0, longestName))}`);
}

/** Whether a manifest's reference is a digest rather than a tag. */
export function looksLikeDigest(reference: string): boolean {
  return reference.includes(":");
}

/** Throws {@link RegistryFault} for what cannot be a digest that we can check. */
export function checkDigest(text: string): string {
  if (isDigest(text)) return text;
  throw new RegistryFault("DIGEST_INVALID", `invalid digest ${JSON.stringify(text.slice(0, longestName))}`);
}

export function isDigest(text: string): boolean {
  const [algorithm = "", hex = "", ...more] = text.split(":");
  return more.length === 0 && lengths[algorithm] === hex.length && /^[0-9a-f]+$/.test(hex);
}

export function algorithmOf(digest: string): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

export function isTag(text: string): boolean {
  return tagPattern.test(text);
}

/** Throws {@link RegistryFault} for what cannot be a tag. */
export function checkTag(text: string): string {
  if (isTag(text)) return text;
  throw new RegistryFault("MANIFEST_INVALID", `invalid tag ${JSON.stringify(text.slice(0, longestName))}`);
}
