/**
 * A Deployment's revisions: numbers in annotations of its ReplicaSets, counted up with each rollout, back and forth. Names and rules as upstream's; kubectl rollout reads them.
 */
import type { Deployment, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import { desiredReplicasOf, maxSurge } from "./replicas.ts";

export const revisionAnnotation = "deployment.kubernetes.io/revision";
const revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxReplicasAnnotation = "deployment.kubernetes.io/max-replicas";
/** Revisions remembered in the history annotation, in characters. */
const maxHistoryLength = 2000;

const ownAnnotations: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  revisionHistoryAnnotation,
  desiredReplicasAnnotation,
  maxReplicasAnnotation,
  "deprecated.deployment.rollback.to",
]);

/** The set's revision; 0 when it has none. */
export function revisionOf(set: ReplicaSet): number {
  const revision = Number(set.metadata?.annotations?.[revisionAnnotation] ?? 0);
  return Number.isSafeInteger(revision) ? revision : 0;
}

/** The revision that a new rollout gets. */
export function nextRevision(oldSets: readonly ReplicaSet[]): number {
  return Math.max(0, ...oldSets.map(revisionOf)) + 1;
}

/** The annotations that the Deployment's current set should have: the Deployment's own ones, the revision, and the revisions that it had before a rollback. */
export function annotationsOfNewSet(
  deployment: Deployment,
  current: Readonly<Record<string, string>>,
  revision: number,
): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = { ...current, ...copiedAnnotations(deployment) };
  const old = current[revisionAnnotation];
  if (old !== undefined && !/^\d+$/.test(old)) return annotations;
  if (Number(old ?? 0) >= revision) return annotations;
  annotations[revisionAnnotation] = String(revision);
  if (old !== undefined) annotations[revisionHistoryAnnotation] = withHistory(current[revisionHistoryAnnotation], old);
  return annotations;
}

/** Says how large the whole Deployment was when the set was last scaled: how a scaling is told from a rollout. */
export function replicaAnnotations(deployment: Deployment): Readonly<Record<string, string>> {
  const desired = desiredReplicasOf(deployment);
  return {
    [desiredReplicasAnnotation]: String(desired),
    [maxReplicasAnnotation]: String(desired + maxSurge(deployment)),
  };
}

function copiedAnnotations(deployment: Deployment): Readonly<Record<string, string>> {
  const entries = Object.entries(deployment.metadata?.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => !ownAnnotations.has(name)));
}

function withHistory(history: string | undefined, revision: string): string {
  const all = [...(history ? history.split(",") : []), revision];
  while (all.length > 1 && all.join(",").length > maxHistoryLength) all.shift();
  return all.join(",");
}
