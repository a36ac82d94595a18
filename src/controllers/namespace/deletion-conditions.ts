/**
 * Says in a namespace's conditions what its deletion waits for. Types, reasons and messages as upstream's.
 */

/** What is left of a namespace's content. */
export type Remains = {
  /** Objects that are there still, by "resource.group". */
  readonly counts: Map<string, number>;
  /** Objects that have a finalizer, by the finalizer. */
  readonly finalizers: Map<string, number>;
  /** Messages of deletions that failed. */
  readonly failures: string[];
  /** Groups whose kinds could not be found out. */
  readonly failedGroups: readonly string[];
};

export type DeletionCondition = {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
};

/** All conditions of a deletion; those with status False matter only where they were True before. */
export function describeContent(remains: Remains): readonly DeletionCondition[] {
  const { counts, finalizers, failures, failedGroups } = remains;
  return [
    condition("NamespaceDeletionDiscoveryFailure", failedGroups.length > 0, {
      bad: "DiscoveryFailed",
      problem: `Discovery failed for some groups, ${failedGroups.length} failing: ${failedGroups.join(", ")}`,
      good: "ResourcesDiscovered",
      relief: "All resources successfully discovered",
    }),
    condition("NamespaceDeletionContentFailure", failures.length > 0, {
      bad: "ContentDeletionFailed",
      problem: `Failed to delete all resource types, ${failures.length} remaining: ${[...failures].sort().join(", ")}`,
      good: "ContentDeleted",
      relief: "All content successfully deleted, may be waiting on finalization",
    }),
    condition("NamespaceContentRemaining", counts.size > 0, {
      bad: "SomeResourcesRemain",
      problem: `Some resources are remaining: ${texts(counts, (name, n) => `${name} has ${n} resource instances`)}`,
      good: "ContentRemoved",
      relief: "All content successfully removed",
    }),
    condition("NamespaceFinalizersRemaining", finalizers.size > 0, {
      bad: "SomeFinalizersRemain",
      problem: `Some content in the namespace has finalizers remaining: ${texts(finalizers, (name, n) => `${name} in ${n} resource instances`)}`,
      good: "ContentHasNoFinalizers",
      relief: "All content-preserving finalizers finished",
    }),
  ];
}

type Words = { readonly bad: string; readonly problem: string; readonly good: string; readonly relief: string };

function condition(type: string, isBad: boolean, words: Words): DeletionCondition {
  if (isBad) return { type, status: "True", reason: words.bad, message: words.problem };
  return { type, status: "False", reason: words.good, message: words.relief };
}

function texts(counts: ReadonlyMap<string, number>, text: (name: string, count: number) => string): string {
  return [...counts]
    .map(([name, count]) => text(name, count))
    .sort()
    .join(", ");
}
