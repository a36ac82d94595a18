/**
 * Validation of the autoscaling annotations of a revision template. Rules and messages as upstream's `pkg/apis/autoscaling/annotation_validation.go` (v1.23).
 */
import { findDurationMs, formatDuration } from "#apimachinery/duration.ts";
import {
  currentField,
  type FieldError,
  generic,
  invalidKeyName,
  invalidValue,
  outOfBounds,
} from "#knative/admission/field-error.ts";
import { findAnnotation, type KeyPriority } from "#knative/names.ts";
import {
  type AutoscalerConfig,
  minTarget,
  panicThresholdPercentageBounds,
  panicWindowPercentageBounds,
  windowBoundsMs,
} from "#serving/config/autoscaler-config.ts";
import { autoscalingGroup, hpaClass, kpaClass, scaling } from "#serving/names.ts";

type Annotations = Readonly<Record<string, string>> | undefined;

const maxInt32 = 2_147_483_647;

/** What is wrong with them; paths are the annotations' keys. */
export function validateAutoscalingAnnotations(
  annotations: Annotations,
  config: AutoscalerConfig,
): readonly FieldError[] {
  return [
    ...checkClass(annotations),
    ...checkScales(annotations, config),
    ...checkFloats(annotations),
    ...checkDurations(annotations),
    ...checkMetric(annotations, config),
    ...checkAlgorithm(annotations),
    ...checkInitialScale(annotations, config),
  ];
}

/** On a Service, Configuration or Route they would do nothing, and are refused. */
export function refuseAutoscalingAnnotations(annotations: Annotations): readonly FieldError[] {
  const why = `autoscaling annotations must be put under "spec.template.metadata.annotations" to work`;
  return Object.keys(annotations ?? {})
    .filter((key) => key.startsWith(autoscalingGroup))
    .map((key) => invalidKeyName(key, currentField, why));
}

function checkClass(annotations: Annotations): readonly FieldError[] {
  const found = findAnnotation(annotations, scaling.class);
  if (found === undefined || !found.value.endsWith(".knative.dev")) return [];
  return [kpaClass, hpaClass].includes(found.value) ? [] : [invalidValue(found.value, found.key)];
}

function findCount(
  annotations: Annotations,
  keys: KeyPriority,
): { readonly count: number; readonly errors: readonly FieldError[] } {
  const found = findAnnotation(annotations, keys);
  if (found === undefined) return { count: 0, errors: [] };
  const { key, value } = found;
  if (!/^[+-]?\d+$/.test(value)) return { count: 0, errors: [invalidValue(value, key)] };
  const count = Number(value);
  if (count < 0 || count > maxInt32) return { count: 0, errors: [outOfBounds(value, 0, maxInt32, key)] };
  return { count, errors: [] };
}

function checkScales(annotations: Annotations, config: AutoscalerConfig): readonly FieldError[] {
  const { count: min, errors: minErrors } = findCount(annotations, scaling.minScale);
  const { count: max, errors: maxErrors } = findCount(annotations, scaling.maxScale);
  const errors = [...minErrors, ...maxErrors];
  if (max !== 0 && max < min)
    errors.push(generic(`max-scale=${max} is less than min-scale=${min}`, scaling.maxScale[0], scaling.minScale[0]));
  const maxKey = findAnnotation(annotations, scaling.maxScale)?.key;
  if (maxKey !== undefined) errors.push(...checkLimit(maxKey, max, config.maxScaleLimit));
  return [...errors, ...checkActivationScale(annotations, min, max)];
}

function checkLimit(key: string, max: number, limit: number): readonly FieldError[] {
  if (limit === 0) return [];
  if (max > limit) return [outOfBounds(max, 1, limit, key)];
  return max === 0 ? [generic(`max-scale=0 (unlimited), must be less than ${limit}`, key)] : [];
}

function checkActivationScale(annotations: Annotations, min: number, max: number): readonly FieldError[] {
  const found = findAnnotation(annotations, scaling.activationScale);
  if (found === undefined) return [];
  const { key, value } = found;
  if (!/^[+-]?\d+$/.test(value)) return [invalidValue(value, key)];
  const scale = Number(value);
  if (min > scale) return [generic(`min-scale=${min} is greater than activation-scale=${scale}`, key)];
  if (max < scale && max !== 0) return [generic(`max-scale=${max} is less than activation-scale=${scale}`, key)];
  return scale < 2 ? [generic(`activation-scale=${scale} must be greater than 1`, key)] : [];
}

/** Go's ParseFloat, as far as annotations need it. */
function parseFloatText(text: string): number | undefined {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}

function checkFloat(
  annotations: Annotations,
  keys: KeyPriority,
  check: (value: number, text: string, key: string) => FieldError | undefined,
): readonly FieldError[] {
  const found = findAnnotation(annotations, keys);
  if (found === undefined) return [];
  const number = parseFloatText(found.value);
  const error = number === undefined ? invalidValue(found.value, found.key) : check(number, found.value, found.key);
  return error === undefined ? [] : [error];
}

function checkFloats(annotations: Annotations): readonly FieldError[] {
  const within =
    ({ min, max }: { readonly min: number; readonly max: number }) =>
    (value: number, text: string, key: string) =>
      value < min || value > max ? outOfBounds(text, min, max, key) : undefined;
  return [
    ...checkFloat(annotations, scaling.panicWindowPercentage, within(panicWindowPercentageBounds)),
    ...checkFloat(annotations, scaling.panicThresholdPercentage, within(panicThresholdPercentageBounds)),
    ...checkFloat(annotations, scaling.target, (value, text, key) =>
      value < minTarget ? generic(`target ${text} should be at least ${minTarget}`, key) : undefined,
    ),
    ...checkFloat(annotations, scaling.targetUtilizationPercentage, within({ min: 1, max: 100 })),
    ...checkFloat(annotations, scaling.targetBurstCapacity, (value, text, key) =>
      value < 0 && value !== -1 ? invalidValue(text, key) : undefined,
    ),
  ];
}

function checkDurations(annotations: Annotations): readonly FieldError[] {
  return [
    ...checkDuration(annotations, scaling.window, { minMs: windowBoundsMs.min, isWhole: true }),
    ...checkDuration(annotations, scaling.scaleToZeroPodRetentionPeriod, { minMs: 0, isWhole: false }),
    ...checkDuration(annotations, scaling.scaleDownDelay, { minMs: 0, isWhole: true }),
  ];
}

function checkDuration(
  annotations: Annotations,
  keys: KeyPriority,
  { minMs, isWhole }: { readonly minMs: number; readonly isWhole: boolean },
): readonly FieldError[] {
  const found = findAnnotation(annotations, keys);
  if (found === undefined) return [];
  const { key, value } = found;
  const ms = findDurationMs(value);
  if (ms === undefined) return [invalidValue(value, key)];
  const { max } = windowBoundsMs;
  if (ms < minMs || ms > max) return [outOfBounds(value, formatDuration(minMs), formatDuration(max), key)];
  return isWhole && ms % 1000 !== 0 ? [generic("must be specified with at most second precision", key)] : [];
}

function checkMetric(annotations: Annotations, config: AutoscalerConfig): readonly FieldError[] {
  const metric = findAnnotation(annotations, scaling.metric)?.value;
  if (metric === undefined) return [];
  const cls = findAnnotation(annotations, scaling.class)?.value ?? config.podAutoscalerClass;
  // Other classes know their own metrics.
  const isKnown = cls === kpaClass ? ["concurrency", "rps"].includes(metric) : cls !== hpaClass || metric !== "";
  return isKnown ? [] : [invalidValue(metric, scaling.metric[0])];
}

function checkAlgorithm(annotations: Annotations): readonly FieldError[] {
  if (findAnnotation(annotations, scaling.class)?.value !== kpaClass) return [];
  const found = findAnnotation(annotations, scaling.metricAggregationAlgorithm);
  const known = ["", "linear", "weighted-exponential", "weightedExponential"];
  return found === undefined || known.includes(found.value) ? [] : [invalidValue(found.value, found.key)];
}

function checkInitialScale(annotations: Annotations, config: AutoscalerConfig): readonly FieldError[] {
  const found = findAnnotation(annotations, scaling.initialScale);
  if (found === undefined) return [];
  const { key, value } = found;
  if (!/^[+-]?\d+$/.test(value)) return [invalidValue(value, key)];
  const scale = Number(value);
  if (scale < 0) return [invalidValue(value, `${key} must be greater than 0`)];
  return scale === 0 && !config.allowZeroInitialScale ? [invalidValue(value, `${key}=0 not allowed by cluster`)] : [];
}
