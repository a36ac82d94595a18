/**
 * What the main thread and the threads of the engine say to each other. Plain data; numbers pair questions with answers.
 */
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { HeldRequest, HoldLimits, HoldVerdict } from "#proxy/config/hold.ts";
import type { ConfigChange, ConfigProblem } from "#proxy/config/route-source.ts";
import type { ClusterLoad } from "#proxy/observe/cluster-loads.ts";

/** What a thread is started with. */
export type ThreadData = {
  readonly holds: readonly string[];
  readonly holdLimits: Partial<HoldLimits>;
  readonly accessLogFileDescriptor: number | undefined;
  readonly drainMs: number;
};

export type ToThread =
  | { readonly kind: "apply"; readonly id: number; readonly changes: readonly ConfigChange[] }
  | { readonly kind: "metrics"; readonly id: number }
  | { readonly kind: "loads"; readonly id: number }
  | { readonly kind: "verdict"; readonly id: number; readonly verdict: HoldVerdict }
  | { readonly kind: "stop"; readonly id: number; readonly graceMs: number };

export type FromThread =
  | { readonly kind: "answer"; readonly id: number; readonly answer: ThreadAnswer }
  | { readonly kind: "hold"; readonly id: number; readonly hold: string; readonly request: HeldRequest }
  /** Nobody waits for the verdict any more. */
  | { readonly kind: "unhold"; readonly id: number };

/** Only what was asked for is there. */
export type ThreadAnswer = {
  readonly problems?: readonly ConfigProblem[];
  /** Of all listeners that were set. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly metrics?: readonly MetricSnapshot[];
  readonly loads?: readonly ClusterLoad[];
};
