/**
 * ConfigMap `config-autoscaler`: keys, defaults and bounds as upstream's `pkg/autoscaler/config` (v1.23).
 */
import { formatDuration } from "#apimachinery/duration.ts";
import { type ConfigData, ConfigError, ConfigText } from "#knative/config-text.ts";
import { kpaClass } from "#serving/names.ts";

/** How the autoscaler decides where a revision's annotations say nothing. Fractions are of 1. */
export type AutoscalerConfig = {
  readonly podAutoscalerClass: string;
  readonly enableScaleToZero: boolean;
  readonly allowZeroInitialScale: boolean;
  readonly containerConcurrencyTargetFraction: number;
  readonly containerConcurrencyTargetDefault: number;
  /** For other metrics than concurrency; no key sets it. */
  readonly targetUtilization: number;
  readonly rpsTargetDefault: number;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  readonly targetBurstCapacity: number;
  readonly activatorCapacity: number;
  readonly panicWindowPercentage: number;
  readonly panicThresholdPercentage: number;
  readonly initialScale: number;
  readonly minScale: number;
  /** 0 is without end. */
  readonly maxScale: number;
  readonly maxScaleLimit: number;
  readonly stableWindowMs: number;
  readonly scaleDownDelayMs: number;
  readonly scaleToZeroGracePeriodMs: number;
  readonly scaleToZeroPodRetentionPeriodMs: number;
};

/** Smallest target of a pod. */
export const minTarget = 0.01;
/** Bounds of the stable window. */
export const windowBoundsMs = { min: 6000, max: 3_600_000 } as const;
export const panicWindowPercentageBounds = { min: 1, max: 100 } as const;
export const panicThresholdPercentageBounds = { min: 110, max: 1000 } as const;

/** What holds without a ConfigMap. */
export const defaultAutoscalerConfig: AutoscalerConfig = {
  podAutoscalerClass: kpaClass,
  enableScaleToZero: true,
  allowZeroInitialScale: false,
  containerConcurrencyTargetFraction: 0.7,
  containerConcurrencyTargetDefault: 100,
  targetUtilization: 0.7,
  rpsTargetDefault: 200,
  maxScaleUpRate: 1000,
  maxScaleDownRate: 2,
  targetBurstCapacity: 211,
  activatorCapacity: 100,
  panicWindowPercentage: 10,
  panicThresholdPercentage: 200,
  initialScale: 1,
  minScale: 0,
  maxScale: 0,
  maxScaleLimit: 0,
  stableWindowMs: 60_000,
  scaleDownDelayMs: 0,
  scaleToZeroGracePeriodMs: 30_000,
  scaleToZeroPodRetentionPeriodMs: 0,
};

/** Reads the ConfigMap. Throws {@link ConfigError} in upstream's words. */
export function parseAutoscalerConfig(data: ConfigData | undefined): AutoscalerConfig {
  const text = new ConfigText(data);
  const base = defaultAutoscalerConfig;
  const fraction = text.number("container-concurrency-target-percentage", base.containerConcurrencyTargetFraction);
  const config: AutoscalerConfig = {
    podAutoscalerClass: text.text("pod-autoscaler-class", base.podAutoscalerClass),
    enableScaleToZero: text.bool("enable-scale-to-zero", base.enableScaleToZero),
    allowZeroInitialScale: text.bool("allow-zero-initial-scale", base.allowZeroInitialScale),
    // Both 70 and 0.7 mean seventy per cent, for the sake of old ConfigMaps.
    containerConcurrencyTargetFraction: fraction > 1 ? fraction / 100 : fraction,
    containerConcurrencyTargetDefault: text.number(
      "container-concurrency-target-default",
      base.containerConcurrencyTargetDefault,
    ),
    targetUtilization: base.targetUtilization,
    rpsTargetDefault: text.number("requests-per-second-target-default", base.rpsTargetDefault),
    maxScaleUpRate: text.number("max-scale-up-rate", base.maxScaleUpRate),
    maxScaleDownRate: text.number("max-scale-down-rate", base.maxScaleDownRate),
    targetBurstCapacity: text.number("target-burst-capacity", base.targetBurstCapacity),
    activatorCapacity: text.number("activator-capacity", base.activatorCapacity),
    panicWindowPercentage: text.number("panic-window-percentage", base.panicWindowPercentage),
    panicThresholdPercentage: text.number("panic-threshold-percentage", base.panicThresholdPercentage),
    initialScale: text.integer("initial-scale", base.initialScale),
    minScale: text.integer("min-scale", base.minScale),
    maxScale: text.integer("max-scale", base.maxScale),
    maxScaleLimit: text.integer("max-scale-limit", base.maxScaleLimit),
    stableWindowMs: text.durationMs("stable-window", base.stableWindowMs),
    scaleDownDelayMs: text.durationMs("scale-down-delay", base.scaleDownDelayMs),
    scaleToZeroGracePeriodMs: text.durationMs("scale-to-zero-grace-period", base.scaleToZeroGracePeriodMs),
    scaleToZeroPodRetentionPeriodMs: text.durationMs(
      "scale-to-zero-pod-retention-period",
      base.scaleToZeroPodRetentionPeriodMs,
    ),
  };
  const problem = problemOf(config);
  if (problem !== undefined) throw new ConfigError(problem);
  return config;
}

function problemOf(config: AutoscalerConfig): string | undefined {
  return timesProblem(config) ?? ratesProblem(config) ?? scalesProblem(config);
}

function timesProblem(config: AutoscalerConfig): string | undefined {
  const { stableWindowMs, scaleDownDelayMs, scaleToZeroGracePeriodMs, scaleToZeroPodRetentionPeriodMs } = config;
  const isWhole = (ms: number) => ms % 1000 === 0;
  const { min, max } = windowBoundsMs;
  if (scaleToZeroGracePeriodMs <= 0)
    return `scale-to-zero-grace-period must be positive, was: ${formatDuration(scaleToZeroGracePeriodMs)}`;
  if (scaleDownDelayMs < 0) return `scale-down-delay cannot be negative, was: ${formatDuration(scaleDownDelayMs)}`;
  if (!isWhole(scaleDownDelayMs))
    return `scale-down-delay = ${formatDuration(scaleDownDelayMs)}, must be specified with at most second precision`;
  if (scaleToZeroPodRetentionPeriodMs < 0)
    return `scale-to-zero-pod-retention-period cannot be negative, was: ${formatDuration(scaleToZeroPodRetentionPeriodMs)}`;
  if (stableWindowMs < min || stableWindowMs > max)
    return `stable-window = ${formatDuration(stableWindowMs)}, must be in [${formatDuration(min)}; ${formatDuration(max)}] range`;
  if (!isWhole(stableWindowMs))
    return `stable-window = ${formatDuration(stableWindowMs)}, must be specified with at most second precision`;
  return undefined;
}

function ratesProblem(config: AutoscalerConfig): string | undefined {
  const fraction = config.containerConcurrencyTargetFraction;
  const target = fraction * config.containerConcurrencyTargetDefault;
  const burst = config.targetBurstCapacity;
  const panic = config.panicWindowPercentage;
  const bounds = panicWindowPercentageBounds;
  if (burst < 0 && burst !== -1)
    return `target-burst-capacity must be either non-negative or -1 (for unlimited), was: ${burst.toFixed(6)}`;
  if (fraction <= 0 || fraction > 1)
    return `container-concurrency-target-percentage = ${fraction.toFixed(6)} is outside of valid range of (0, 100]`;
  if (target < minTarget)
    return `container-concurrency-target-percentage and container-concurrency-target-default yield target concurrency of ${target}, can't be less than ${minTarget}`;
  if (config.rpsTargetDefault < minTarget)
    return `requests-per-second-target-default must be at least ${minTarget}, was: ${config.rpsTargetDefault}`;
  if (config.activatorCapacity < 1) return `activator-capacity = ${config.activatorCapacity}, must be at least 1`;
  if (config.maxScaleUpRate <= 1) return `max-scale-up-rate = ${config.maxScaleUpRate}, must be greater than 1.0`;
  if (config.maxScaleDownRate <= 1) return `max-scale-down-rate = ${config.maxScaleDownRate}, must be greater than 1.0`;
  if (panic < bounds.min || panic > bounds.max)
    return `panic-window-percentage = ${panic}, must be in [${bounds.min}, ${bounds.max}] interval`;
  return undefined;
}

function scalesProblem(config: AutoscalerConfig): string | undefined {
  const { initialScale, allowZeroInitialScale, minScale, maxScale, maxScaleLimit } = config;
  // With a limit, "no end" is no value any more.
  const least = maxScaleLimit > 0 ? 1 : 0;
  if (initialScale < 0 || (initialScale === 0 && !allowZeroInitialScale))
    return `initial-scale = ${initialScale}, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)`;
  if (minScale < 0) return `min-scale = ${minScale}, must be at least 0`;
  if (maxScale < least || (maxScaleLimit > 0 && maxScale > maxScaleLimit))
    return `max-scale = ${maxScale}, must be in [${least}, max-scale-limit(${maxScaleLimit})] range`;
  if (maxScaleLimit < 0) return `max-scale-limit = ${maxScaleLimit}, must be at least 0`;
  if (minScale > maxScale && maxScale > 0) return `min-scale (${minScale}) must be less than max-scale (${maxScale})`;
  return undefined;
}
