/**
 * The pods that a Job makes: its template with the tracking finalizer and, for indexed Jobs, everything that tells a pod its index.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { podFromTemplate } from "#controllers/common/pods.ts";
import { judgeFailure } from "./job-policies.ts";
import {
  indexAnnotation,
  indexFailureCount,
  indexFailureCountAnnotation,
  indexIgnoredFailureCountAnnotation,
  trackingFinalizer,
} from "./job-pods.ts";

const indexVariable = "JOB_COMPLETION_INDEX";
/** Names are at most 63 characters, 5 of them random. */
const maxPrefixLength = 58;

/** A new pod. `index` only for indexed Jobs; `replaced` is the failed pod whose place it takes, where failures are counted by index. */
export function podOf(job: Job, index: number | undefined, replaced: Pod | undefined): Pod {
  const template = job.spec?.template;
  const finalizers = [...new Set([...(template?.metadata?.finalizers ?? []), trackingFinalizer])];
  const pod = podFromTemplate({ ...template, metadata: { ...template?.metadata, finalizers } }, job);
  if (index === undefined) return pod;
  const name = job.metadata?.name ?? "";
  const suffix = `-${index}-`;
  const generateName = `${name.slice(0, maxPrefixLength - suffix.length)}${suffix}`;
  const annotations = {
    ...pod.metadata?.annotations,
    [indexAnnotation]: String(index),
    ...(job.spec?.backoffLimitPerIndex === undefined ? {} : failureCounts(job, replaced)),
  };
  const labels = { ...pod.metadata?.labels, [indexAnnotation]: String(index) };
  return {
    ...pod,
    metadata: { ...pod.metadata, generateName, annotations, labels },
    spec: {
      ...pod.spec,
      hostname: `${name}-${index}`,
      containers: (pod.spec?.containers ?? []).map(withIndexVariable),
      ...(pod.spec?.initContainers === undefined
        ? {}
        : { initContainers: pod.spec.initContainers.map(withIndexVariable) }),
    },
  };
}

function failureCounts(job: Job, replaced: Pod | undefined): Readonly<Record<string, string>> {
  if (replaced === undefined) return { [indexFailureCountAnnotation]: "0" };
  const { countsAsFailure } = judgeFailure(job, replaced);
  const counted = indexFailureCount(replaced) + (countsAsFailure ? 1 : 0);
  const before = Number(replaced.metadata?.annotations?.[indexIgnoredFailureCountAnnotation] ?? 0) || 0;
  const ignored = before + (countsAsFailure ? 0 : 1);
  return {
    [indexFailureCountAnnotation]: String(counted),
    ...(ignored === 0 ? {} : { [indexIgnoredFailureCountAnnotation]: String(ignored) }),
  };
}

function withIndexVariable(container: Container): Container {
  if (container.env?.some((variable) => variable.name === indexVariable)) return container;
  const fieldRef = { apiVersion: "v1", fieldPath: `metadata.annotations['${indexAnnotation}']` };
  return { ...container, env: [...(container.env ?? []), { name: indexVariable, valueFrom: { fieldRef } }] };
}
