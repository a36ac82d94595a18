/**
 * Which tests run when. First all that need nothing of the machine but its processors, two at a time; then the end-to-end files that only wait most of their time, two at a
 * time as well; in the end, one by one, those that measure time or shares of a processor. A new end-to-end file is one of these until it is named here.
 */
import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";

export const root: string = resolve(import.meta.dirname, "..");

/** Files by when they run; paths below the repository. */
export type TestPlan = {
  readonly unit: readonly string[];
  /** Without a cluster, and bound by the processor. */
  readonly withoutCluster: readonly string[];
  /** Each with clusters of its own, beside another one. */
  readonly besideOthers: readonly string[];
  readonly alone: readonly string[];
};

/** Those that take long come first, so that none is left at the end. */
const withoutCluster: readonly RegExp[] = [
  /kubectl-transcripts\.e2e\.ts$/,
  /^src\/store\/.*\.e2e\.ts$/,
  /^test\/(?!e2e|guest).*\.test\.ts$/,
];

const besideOthers: readonly RegExp[] = [
  "functions",
  "isolates-packed",
  "kubectl",
  "clusters",
  "shop",
  "embedded-registry",
  "client-node",
  "rootless",
  "helm",
  "private-registry",
  "dockerfile",
  "push",
  "serving",
  "events",
  "sources",
].map((name) => new RegExp(`^test/e2e/${name}\\.e2e\\.ts$`));

/** All tests, or those whose paths have one of these words in them. Those of test/guest run only when they are named: emulated, they take longer than all others together. */
export function planTests(only: readonly string[] = []): TestPlan {
  const isChosen = (file: string) =>
    only.length === 0 ? !file.startsWith("test/guest/") : only.some((part) => file.includes(part));
  const unit = [...filesUnder("src", /\.test\.ts$/), ...filesUnder("tools", /\.test\.ts$/)].filter(isChosen);
  const endToEnd = [...filesUnder("src", /\.e2e\.ts$/), ...filesUnder("test", /\.(test|e2e)\.ts$/)].filter(isChosen);
  const early = inOrderOf(withoutCluster, endToEnd);
  const beside = inOrderOf(besideOthers, endToEnd);
  const alone = endToEnd.filter((file) => !early.includes(file) && !beside.includes(file));
  return { unit, withoutCluster: early, besideOthers: beside, alone };
}

/** Every n-th of the files, so that each share has some of every room. */
export function shareOf(
  files: readonly string[],
  { number, of }: { readonly number: number; readonly of: number },
): readonly string[] {
  return files.filter((_, index) => index % of === number);
}

function inOrderOf(patterns: readonly RegExp[], files: readonly string[]): readonly string[] {
  return patterns.flatMap((pattern) => files.filter((file) => pattern.test(file)));
}

function filesUnder(folder: string, pattern: RegExp): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => pattern.test(name))
    .map((name) => relative(root, join(root, folder, name)))
    .sort();
}
