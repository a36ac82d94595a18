/**
 * autoscaling/v1's HorizontalPodAutoscaler, which knows one CPU target, to v2 and back. What v1 has no field for travels in annotations, as upstream's does, so that
 * nothing is lost when an old client reads and writes.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Draft } from "#api/strategy.ts";
import { toNewMetric, toNewStatus, toOldMetric, toOldStatus } from "./metric-conversion.ts";

const prefix = "autoscaling.alpha.kubernetes.io";
const annotationNames = {
  metrics: `${prefix}/metrics`,
  currentMetrics: `${prefix}/current-metrics`,
  conditions: `${prefix}/conditions`,
  behavior: `${prefix}/behavior`,
} as const;
/** Annotations that never reach v2 as such. The tolerances are no longer written, but dropped where somebody has them. */
const dropped: readonly string[] = [
  ...Object.values(annotationNames),
  `${prefix}/scale-down-tolerance`,
  `${prefix}/scale-up-tolerance`,
];
/** Utilization that autoscaling/v1 aims at where nothing else is asked for. */
const defaultCpuUtilization = 80;

/** v2 → v1. */
export function toVersion1(object: KubeObject): KubeObject {
  const { metadata, spec = {}, status = {} }: Draft = object as Draft;
  const metrics: readonly Draft[] = spec.metrics ?? [];
  const current: readonly Draft[] = status.currentMetrics ?? [];
  const otherMetrics = metrics.filter((metric) => !isCpuUtilization(metric));
  const kept = {
    ...(otherMetrics.length === 0 ? {} : { [annotationNames.metrics]: JSON.stringify(otherMetrics.map(toOldMetric)) }),
    ...(current.length === 0 ? {} : { [annotationNames.currentMetrics]: JSON.stringify(current.map(toOldStatus)) }),
    ...(spec.behavior == null ? {} : { [annotationNames.behavior]: JSON.stringify(spec.behavior) }),
    ...(status.conditions?.length ? { [annotationNames.conditions]: JSON.stringify(status.conditions) } : {}),
  };
  const target = metrics.find(isCpuUtilization)?.["resource"].target.averageUtilization;
  const utilization = current.findLast(({ type, resource }) => type === "Resource" && resource?.name === "cpu")?.[
    "resource"
  ].current?.averageUtilization;
  const { metrics: _metrics, behavior: _behavior, ...oldSpec } = spec;
  const { currentMetrics: _current, conditions: _conditions, ...oldStatus } = status;
  return {
    ...object,
    apiVersion: "autoscaling/v1",
    metadata: withAnnotations(metadata ?? {}, kept),
    spec: { ...oldSpec, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      ...oldStatus,
      currentReplicas: oldStatus.currentReplicas ?? 0,
      ...(utilization === undefined ? {} : { currentCPUUtilizationPercentage: utilization }),
    },
  } as KubeObject;
}

/** v1 → v2. */
export function toVersion2(object: KubeObject): KubeObject {
  const { metadata, spec = {}, status = {} }: Draft = object as Draft;
  const annotations: Readonly<Record<string, string>> = metadata?.annotations ?? {};
  const { targetCPUUtilizationPercentage: target, ...newSpec } = spec;
  const { currentCPUUtilizationPercentage: utilization, ...newStatus } = status;
  const others = listIn(annotations[annotationNames.metrics])?.map(toNewMetric) ?? [];
  const metrics = target == null ? others : [...others, cpuMetric(target)];
  const behavior = parse(annotations[annotationNames.behavior]);
  const ownStatus = utilization == null ? null : [cpuStatus(utilization)];
  const currentMetrics = listIn(annotations[annotationNames.currentMetrics])?.map(toNewStatus) ?? ownStatus;
  const conditions = listIn(annotations[annotationNames.conditions]) ?? [];
  return {
    ...object,
    apiVersion: "autoscaling/v2",
    metadata: withAnnotations(metadata ?? {}, {}),
    spec: {
      ...newSpec,
      metrics: metrics.length === 0 ? [cpuMetric(defaultCpuUtilization)] : metrics,
      ...(isFilled(behavior) ? { behavior } : {}),
    },
    status: { ...newStatus, currentMetrics, ...(conditions.length === 0 ? {} : { conditions }) },
  } as KubeObject;
}

function isCpuUtilization({ type, resource }: Draft): boolean {
  return type === "Resource" && resource?.name === "cpu" && resource.target?.averageUtilization != null;
}

function cpuMetric(averageUtilization: number): Draft {
  return { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization } } };
}

function cpuStatus(averageUtilization: number): Draft {
  return { type: "Resource", resource: { name: "cpu", current: { averageUtilization } } };
}

function withAnnotations(metadata: Draft, kept: Readonly<Record<string, string>>): Draft {
  const { annotations, ...rest } = metadata;
  const others = Object.entries<string>(annotations ?? {}).filter(([name]) => !dropped.includes(name));
  const all = Object.fromEntries([...others, ...Object.entries(kept)]);
  return Object.keys(all).length === 0 ? rest : { ...rest, annotations: all };
}

/** Annotations are the user's: what cannot be read is left out. */
function listIn(text: string | undefined): readonly Draft[] | undefined {
  const value = parse(text);
  return Array.isArray(value) && value.every(isFilled) ? (value as readonly Draft[]) : undefined;
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isFilled(value: unknown): value is Draft {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}
