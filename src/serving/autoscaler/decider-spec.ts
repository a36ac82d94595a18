/**
 * What a revision's PodAutoscaler and `config-autoscaler` together say about its scaling. Precedence as upstream's `pkg/reconciler/autoscaling` (v1.23): annotations first.
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import { findAnnotation, type KeyPriority } from "#knative/names.ts";
import { type AutoscalerConfig, minTarget, windowBoundsMs } from "#serving/config/autoscaler-config.ts";
import type { PodAutoscaler } from "#serving/kinds.ts";
import { kpaClass, scaling } from "#serving/names.ts";
import type { Aggregation } from "./window-average.ts";

/** What pods are counted by. */
export type ScalingMetric = "concurrency" | "rps";

/** Everything the algorithm goes by. */
export type DeciderSpec = {
  readonly metric: ScalingMetric;
  readonly aggregation: Aggregation;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  /** What one pod should have: the total times the utilization. */
  readonly targetValue: number;
  /** What one pod can take. */
  readonly totalValue: number;
  /** 0: buffer only at zero. -1: always. */
  readonly targetBurstCapacity: number;
  /** Panic when the panic window wants this many times the pods there are. */
  readonly panicThreshold: number;
  readonly stableWindowMs: number;
  readonly panicWindowMs: number;
  readonly scaleDownDelayMs: number;
  readonly initialScale: number;
  /** 0 or 1: none. */
  readonly activationScale: number;
  readonly isReachable: boolean;
};

/** Bounds of a revision's scale. `max` 0 is without end. */
export type ScaleBounds = { readonly min: number; readonly max: number };

const smallestPanicWindowMs = 1000;

/** The spec of one PodAutoscaler. */
export function deciderSpecOf(autoscaler: PodAutoscaler, config: AutoscalerConfig): DeciderSpec {
  const number = numberReader(autoscaler);
  const stableWindowMs = durationOf(autoscaler, scaling.window) ?? config.stableWindowMs;
  const panicPercentage = number(scaling.panicWindowPercentage) ?? config.panicWindowPercentage;
  return {
    metric: metricOf(autoscaler),
    aggregation: aggregationOf(autoscaler),
    maxScaleUpRate: config.maxScaleUpRate,
    maxScaleDownRate: config.maxScaleDownRate,
    ...targetOf(autoscaler, config),
    targetBurstCapacity: number(scaling.targetBurstCapacity) ?? config.targetBurstCapacity,
    panicThreshold: (number(scaling.panicThresholdPercentage) ?? config.panicThresholdPercentage) / 100,
    stableWindowMs: Math.min(stableWindowMs, windowBoundsMs.max),
    panicWindowMs: Math.max(smallestPanicWindowMs, Math.round((stableWindowMs * panicPercentage) / 100 / 1000) * 1000),
    scaleDownDelayMs: durationOf(autoscaler, scaling.scaleDownDelay) ?? config.scaleDownDelayMs,
    initialScale: initialScaleOf(autoscaler, config),
    activationScale: number(scaling.activationScale) ?? 0,
    isReachable: autoscaler.spec?.reachability !== "Unreachable",
  };
}

/** Least and most pods. What nobody can reach needs no least. */
export function scaleBoundsOf(autoscaler: PodAutoscaler, config: AutoscalerConfig): ScaleBounds {
  const number = numberReader(autoscaler);
  const isUnreachable = autoscaler.spec?.reachability === "Unreachable";
  return {
    min: isUnreachable ? 0 : (number(scaling.minScale) ?? config.minScale),
    max: number(scaling.maxScale) ?? config.maxScale,
  };
}

/** Pods to begin with. */
export function initialScaleOf(autoscaler: PodAutoscaler, config: AutoscalerConfig): number {
  const given = numberReader(autoscaler)(scaling.initialScale);
  return given === undefined || (given === 0 && !config.allowZeroInitialScale) ? config.initialScale : given;
}

/** How long the last pod stays, at least, after the traffic has gone. */
export function podRetentionMsOf(autoscaler: PodAutoscaler, config: AutoscalerConfig): number {
  return durationOf(autoscaler, scaling.scaleToZeroPodRetentionPeriod) ?? config.scaleToZeroPodRetentionPeriodMs;
}

/** True when this autoscaler is ours to run. */
export function isKpa({ metadata }: PodAutoscaler): boolean {
  return (findAnnotation(metadata?.annotations, scaling.class)?.value ?? kpaClass) === kpaClass;
}

function metricOf({ metadata }: PodAutoscaler): ScalingMetric {
  return findAnnotation(metadata?.annotations, scaling.metric)?.value === "rps" ? "rps" : "concurrency";
}

function aggregationOf({ metadata }: PodAutoscaler): Aggregation {
  const given = findAnnotation(metadata?.annotations, scaling.metricAggregationAlgorithm)?.value ?? "";
  return ["weighted-exponential", "weightedExponential"].includes(given) ? "weighted-exponential" : "linear";
}

function targetOf(
  autoscaler: PodAutoscaler,
  config: AutoscalerConfig,
): Pick<DeciderSpec, "targetValue" | "totalValue"> {
  const number = numberReader(autoscaler);
  const isRps = metricOf(autoscaler) === "rps";
  const limit = autoscaler.spec?.containerConcurrency ?? 0;
  const given = number(scaling.target);
  const fallback = isRps ? config.rpsTargetDefault : limit || config.containerConcurrencyTargetDefault;
  // A pod cannot take more than its hard limit.
  const totalValue = given === undefined ? fallback : !isRps && limit !== 0 ? Math.min(given, limit) : given;
  const percentage = number(scaling.targetUtilizationPercentage);
  const usual = isRps ? config.targetUtilization : config.containerConcurrencyTargetFraction;
  const utilization = percentage === undefined ? usual : percentage / 100;
  return { totalValue, targetValue: Math.max(minTarget, totalValue * utilization) };
}

function numberReader({ metadata }: PodAutoscaler): (keys: KeyPriority) => number | undefined {
  return (keys) => {
    const text = findAnnotation(metadata?.annotations, keys)?.value;
    const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
    return Number.isFinite(value) ? value : undefined;
  };
}

function durationOf({ metadata }: PodAutoscaler, keys: KeyPriority): number | undefined {
  const text = findAnnotation(metadata?.annotations, keys)?.value;
  return text === undefined ? undefined : findDurationMs(text);
}
