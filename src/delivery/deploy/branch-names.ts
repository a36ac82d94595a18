/**
 * What a branch is called in names and labels, and which branches are previews.
 */
import { createHash } from "node:crypto";
import { liveBranch, type RepositoryObject } from "#delivery/kinds.ts";

/** Marks what a repository has deployed, and of which branch. */
export const repositoryLabel = "nodeless.dev/repository";
export const branchLabel = "nodeless.dev/branch";
/** On the same objects: what was deployed. */
export const commitAnnotation = "nodeless.dev/commit";

const longestSlug = 20;
const longestName = 63;

/** What becomes of a branch. */
export type BranchRole = "live" | "preview" | "stored";

export function roleOf(repository: RepositoryObject, branch: string): BranchRole {
  if (branch === liveBranch(repository)) return "live";
  const patterns = repository.spec?.previews?.branches ?? ["*"];
  return patterns.some((pattern) => matches(pattern, branch)) ? "preview" : "stored";
}

function matches(pattern: string, branch: string): boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[^\w/-]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(branch);
}

/** A branch as a part of names: as it is where it can be, else shortened, with a hash that tells it from others like it. */
export function slugOf(branch: string): string {
  const plain = branch
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  if (plain === branch && plain.length <= longestSlug) return plain;
  return [plain.slice(0, longestSlug - 7).replace(/-+$/, ""), hashOf(branch)].filter(Boolean).join("-");
}

/** A preview's name: NAME-BRANCH. */
export function previewName(name: string, branch: string): string {
  const whole = `${name}-${slugOf(branch)}`;
  return whole.length <= longestName ? whole : `${name.slice(0, longestName - 28)}-${hashOf(name)}-${slugOf(branch)}`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 6);
}
