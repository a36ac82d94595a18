/**
 * From what the autoscaler wants to what is done now: bounds, the first scale, and the slow way to zero. As upstream's `pkg/reconciler/autoscaling/kpa/scaler.go` (v1.23); its
 * probe of the activator falls away, since the node's engine is in the way of every request.
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import type { Condition } from "#knative/duck.ts";
import { findAnnotation } from "#knative/names.ts";
import { initialScaleOf, podRetentionMsOf, scaleBoundsOf } from "#serving/autoscaler/decider-spec.ts";
import type { ServingConfig } from "#serving/config/config-store.ts";
import type { PodAutoscaler } from "#serving/kinds.ts";
import { progressDeadline } from "#serving/names.ts";

/** Nothing is known yet. */
export const scaleUnknown = -1;

/** Time beyond the progress deadline until an activation has failed. */
const activationBufferMs = 30_000;

/** Time after which a revision that could not be started is tried again; a quarter of its age, when that is longer. */
const firstRetryMs = 60_000;
const longestRetryMs = 1_800_000;

/** What is to be done. */
export type ScaleStep = {
  /** What the status tells; -1 is unknown. */
  readonly want: number;
  /** What the Deployment is set to; absent: it is left as it is. */
  readonly apply?: number;
  /** When time alone may change the answer. */
  readonly againAfterMs?: number;
};

/** Decides. `desired` undefined: the autoscaler has no data. */
export function scaleStep(
  autoscaler: PodAutoscaler,
  options: {
    readonly desired: number | undefined;
    readonly stableWindowMs: number;
    readonly nowMs: number;
    readonly config: ServingConfig;
  },
): ScaleStep {
  const { config } = options;
  const desired = options.desired ?? scaleUnknown;
  const again = firstScaleAgain(autoscaler, options);
  if (again !== undefined) return again;
  if (desired < 0 && activeOf(autoscaler)?.status !== "Unknown") return { want: desired };
  const bounded = withinBounds(autoscaler, desired, config);
  if (bounded !== 0) return { want: bounded, apply: bounded };
  if (!config.autoscaler.enableScaleToZero) return { want: 1, apply: 1 };
  return stepToZero(autoscaler, options);
}

/** Pods that a revision must have had ready at once to count as good. */
export function activeThreshold(autoscaler: PodAutoscaler, config: ServingConfig): number {
  const { min } = scaleBoundsOf(autoscaler, config.autoscaler);
  if (isInitialized(autoscaler)) return Math.max(min, 1);
  return Math.max(min, initialScaleOf(autoscaler, config.autoscaler));
}

function withinBounds(autoscaler: PodAutoscaler, desired: number, config: ServingConfig): number {
  const { min, max } = scaleBoundsOf(autoscaler, config.autoscaler);
  const initial = initialScaleOf(autoscaler, config.autoscaler);
  const mustReachInitial = initial > 1 && !isInitialized(autoscaler) && autoscaler.spec?.reachability !== "Unreachable";
  const least = mustReachInitial ? Math.max(initial, min) : min;
  const pods = Math.max(desired, least);
  return max !== 0 && pods > max ? max : pods;
}

function stepToZero(
  autoscaler: PodAutoscaler,
  {
    stableWindowMs,
    nowMs,
    config,
  }: { readonly stableWindowMs: number; readonly nowMs: number; readonly config: ServingConfig },
): ScaleStep {
  const active = activeOf(autoscaler);
  const forMs = active?.lastTransitionTime === undefined ? 0 : nowMs - Date.parse(active.lastTransitionTime);
  if (active?.status === "True") {
    // It stays for a stable window at least; then it is marked inactive, and goes at the next look.
    if (forMs < stableWindowMs) return { want: 1, apply: 1, againAfterMs: stableWindowMs - forMs };
    return { want: 0 };
  }
  if (active?.status === "Unknown") {
    const timeoutMs = activationTimeoutMs(autoscaler, config);
    if (forMs > timeoutMs) return { want: 0, apply: 0 };
    const first = isInitialized(autoscaler) ? {} : { apply: firstScale(autoscaler, config) };
    return { want: scaleUnknown, ...first, againAfterMs: timeoutMs - forMs + 1000 };
  }
  const retentionMs =
    autoscaler.spec?.reachability === "Unreachable" ? 0 : podRetentionMsOf(autoscaler, config.autoscaler);
  return forMs < retentionMs ? { want: 0, againAfterMs: retentionMs - forMs } : { want: 0, apply: 0 };
}

/**
 * A revision that never had its first scale is tried again, less and less often: what stood in the way may be gone (a Secret that came late, a registry that is back). Upstream
 * leaves it for good. One that something newer has replaced is left too.
 */
function firstScaleAgain(
  autoscaler: PodAutoscaler,
  { nowMs, config }: { readonly nowMs: number; readonly config: ServingConfig },
): ScaleStep | undefined {
  const active = activeOf(autoscaler);
  if (active?.status !== "False" || isInitialized(autoscaler)) return undefined;
  // Replaced; or broken, which is said only of what still has pods.
  if (autoscaler.spec?.reachability === "Unreachable") return { want: 0, apply: 0 };
  const ageMs = nowMs - Date.parse(autoscaler.metadata?.creationTimestamp ?? "");
  const waitMs = Math.min(Math.max(firstRetryMs, ageMs / 4 || 0), longestRetryMs);
  const forMs = nowMs - Date.parse(active.lastTransitionTime ?? "");
  if (forMs < waitMs) return { want: 0, apply: 0, againAfterMs: waitMs - forMs };
  // Pods come once the status tells that they are wanted: from then on their time runs.
  return { want: firstScale(autoscaler, config) };
}

function firstScale(autoscaler: PodAutoscaler, config: ServingConfig): number {
  return withinBounds(autoscaler, Math.max(1, initialScaleOf(autoscaler, config.autoscaler)), config);
}

function activationTimeoutMs({ metadata }: PodAutoscaler, { deployment }: ServingConfig): number {
  const given = findDurationMs(findAnnotation(metadata?.annotations, progressDeadline)?.value ?? "");
  return (given ?? deployment.progressDeadlineMs) + activationBufferMs;
}

/** The condition that tells whether there are pods for requests. */
function activeOf({ status }: PodAutoscaler): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === "Active");
}

/** True once it had all the pods it was to begin with. */
export function isInitialized({ status }: PodAutoscaler): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === "ScaleTargetInitialized" && condition.status === "True",
  );
}
