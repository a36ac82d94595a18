/**
 * What a Job's pod failure policy and success policy say. Rules and messages as upstream's. Pure functions.
 */
import type { Job, PodFailurePolicyOnExitCodesRequirement } from "#api/generated/types/batch-v1.ts";
import type { ContainerStatus, Pod } from "#api/generated/types/core-v1.ts";
import { parseIndexes } from "./completion-indexes.ts";
import { indexFailureCount, isFailed } from "./job-pods.ts";

/** What a pod's failure means. `failsJob` is the message, where the whole Job fails by it. */
export type FailureVerdict = {
  readonly countsAsFailure: boolean;
  readonly failsIndex: boolean;
  readonly failsJob: string | undefined;
};

const ordinary: FailureVerdict = { countsAsFailure: true, failsIndex: false, failsJob: undefined };

/** Judges a failed pod by the first rule that matches. */
export function judgeFailure(job: Job, pod: Pod): FailureVerdict {
  for (const [index, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const match = matchRule(rule, pod);
    if (match === undefined) continue;
    switch (rule.action) {
      case "Ignore":
        return { ...ordinary, countsAsFailure: false };
      case "FailIndex":
        return { ...ordinary, failsIndex: true };
      case "FailJob":
        return { ...ordinary, failsJob: `${match} matching FailJob rule at index ${index}` };
      default:
        return ordinary;
    }
  }
  return ordinary;
}

type Rule = NonNullable<NonNullable<NonNullable<Job["spec"]>["podFailurePolicy"]>["rules"]>[number];

/** What matched, in words; undefined when nothing did. */
function matchRule(rule: Rule, pod: Pod): string | undefined {
  const { namespace, name } = pod.metadata ?? {};
  if (rule.onExitCodes !== undefined) {
    const status = containerByExitCode(pod, rule.onExitCodes);
    if (status === undefined) return undefined;
    return `Container ${status.name} for pod ${namespace}/${name} failed with exit code ${status.state?.terminated?.exitCode}`;
  }
  for (const condition of pod.status?.conditions ?? []) {
    const isMatch = rule.onPodConditions?.some(
      (pattern) => pattern.type === condition.type && (pattern.status || "True") === condition.status,
    );
    if (isMatch) return `Pod ${namespace}/${name} has condition ${condition.type}`;
  }
  return undefined;
}

function containerByExitCode(pod: Pod, wanted: PodFailurePolicyOnExitCodesRequirement): ContainerStatus | undefined {
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return all.find(({ name, state }) => {
    const exitCode = state?.terminated?.exitCode ?? 0;
    if (exitCode === 0 || (wanted.containerName !== undefined && wanted.containerName !== name)) return false;
    const isListed = (wanted.values ?? []).includes(exitCode);
    return wanted.operator === "In" ? isListed : wanted.operator === "NotIn" && !isListed;
  });
}

/** The message of the first failed pod by which the whole Job fails. */
export function jobFailureMessage(job: Job, pods: readonly Pod[]): string | undefined {
  if (job.spec?.podFailurePolicy === undefined) return undefined;
  for (const pod of pods) {
    if (!isFailed(pod, job)) continue;
    const { failsJob } = judgeFailure(job, pod);
    if (failsJob !== undefined) return failsJob;
  }
  return undefined;
}

/** Whether the pod's index has failed for good by it. */
export function failsIndex(job: Job, pod: Pod): boolean {
  const limit = job.spec?.backoffLimitPerIndex;
  if (limit === undefined || !isFailed(pod, job)) return false;
  const verdict = judgeFailure(job, pod);
  return verdict.failsIndex || (verdict.countsAsFailure && indexFailureCount(pod) >= limit);
}

/** The message of the first rule of the success policy that the succeeded indexes meet. */
export function successMessage(job: Job, succeeded: ReadonlySet<number>): string | undefined {
  if (succeeded.size === 0) return undefined;
  for (const [index, rule] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const message = `Matched rules at index ${index}`;
    if (rule.succeededIndexes === undefined) {
      if (rule.succeededCount !== undefined && succeeded.size >= rule.succeededCount) return message;
      continue;
    }
    const required = parseIndexes(rule.succeededIndexes, job.spec?.completions ?? 0);
    if (required.size === 0) continue;
    const met = [...required].filter((one) => succeeded.has(one)).length;
    if (met === required.size || (rule.succeededCount !== undefined && met >= rule.succeededCount)) return message;
  }
  return undefined;
}
