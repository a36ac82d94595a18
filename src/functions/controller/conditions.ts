/**
 * Conditions of a Function: what Ready depends on, in Knative's manner; times change only when something else does.
 */
import { formatTime } from "#apimachinery/time.ts";
import type { FunctionCondition } from "#functions/kinds.ts";

/** What is said of one condition. */
export type Mark = Pick<FunctionCondition, "status" | "reason" | "message">;

/** Ready is what these are, the first that is not True before the others. */
const dependents = ["SourceReady", "Built", "ServiceReady"] as const;

/** A condition that Ready depends on. */
export type Dependent = (typeof dependents)[number];

export const isTrue: Mark = { status: "True" };

/** What is not known yet, and why. */
export function unknown(reason: string, message: string): Mark {
  return { status: "Unknown", reason, message };
}

/** What will not be, and why. */
export function isFalse(reason: string, message: string): Mark {
  return { status: "False", reason, message };
}

/** All conditions, sorted by type, with Ready worked out. `notes` are for information only. */
export function conditionsOf(
  marks: Readonly<Record<Dependent, Mark>>,
  notes: Readonly<Record<string, Mark>>,
  { before = [], nowMs }: { readonly before?: readonly FunctionCondition[] | undefined; readonly nowMs: number },
): readonly FunctionCondition[] {
  const of = (status: Mark["status"]) => dependents.map((type) => marks[type]).find((mark) => mark.status === status);
  const ready = of("False") ?? of("Unknown") ?? isTrue;
  const fresh: readonly FunctionCondition[] = [
    ...Object.entries({ ...marks, Ready: ready }).map(([type, mark]) => ({ type, ...mark })),
    ...Object.entries(notes).map(([type, mark]) => ({ type, ...mark, severity: "Info" })),
  ];
  return fresh.map((condition) => withTime(condition, before, nowMs)).toSorted((a, b) => (a.type < b.type ? -1 : 1));
}

function withTime(
  condition: FunctionCondition,
  before: readonly FunctionCondition[],
  nowMs: number,
): FunctionCondition {
  const known = before.find(({ type }) => type === condition.type);
  const isSame = (["status", "reason", "message", "severity"] as const).every(
    (field) => (known?.[field] ?? "") === (condition[field] ?? ""),
  );
  return known !== undefined && isSame ? known : { ...condition, lastTransitionTime: formatTime(nowMs) };
}
