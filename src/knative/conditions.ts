/**
 * Conditions of a status as Knative keeps them: some decide over Ready, the others only inform; times change only when something else does. As upstream's `knative.dev/pkg/apis`
 * condition sets.
 */
import { formatTime } from "#apimachinery/time.ts";
import type { Condition } from "./duck.ts";

/** What is known of one condition. */
export type Mark = {
  readonly status: Condition["status"];
  readonly reason?: string;
  readonly message?: string;
};

/** It is so. */
export const isTrue: Mark = { status: "True" };

export function isFalse(reason: string, message: string): Mark {
  return { status: "False", reason, message };
}

export function isUnknown(reason = "", message = ""): Mark {
  return { status: "Unknown", reason, message };
}

/** The condition of a type, or undefined. */
export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Collects marks during one look at an object, on top of what was known before. */
export class Conditions {
  readonly #before: readonly Condition[];
  readonly #dependents: readonly string[];
  readonly #marks = new Map<string, Mark>();

  /** `dependents` decide over Ready. They begin as Unknown. */
  constructor(before: readonly Condition[] | undefined, dependents: readonly string[]) {
    this.#before = before ?? [];
    this.#dependents = dependents;
    for (const { type, status, reason, message } of this.#before)
      if (type !== "Ready" || dependents.length === 0)
        this.#marks.set(type, {
          status,
          ...(reason === undefined ? {} : { reason }),
          ...(message === undefined ? {} : { message }),
        });
    for (const type of dependents) if (!this.#marks.has(type)) this.#marks.set(type, isUnknown());
    if (dependents.length === 0 && !this.#marks.has("Ready")) this.#marks.set("Ready", isUnknown());
  }

  mark(type: string, mark: Mark): void {
    this.#marks.set(type, mark);
  }

  /** What is known of a type by now. */
  find(type: string): Mark | undefined {
    return this.#marks.get(type);
  }

  is(type: string, status: Condition["status"]): boolean {
    return this.#marks.get(type)?.status === status;
  }

  /** All conditions, sorted by type, with Ready worked out. */
  result(nowMs: number): readonly Condition[] {
    const marks = new Map(this.#marks);
    const deciding = this.#dependents.length > 0 ? this.#dependents : ["Ready"];
    const dependents = deciding.map((type) => [type, marks.get(type) ?? isUnknown()] as const);
    for (const [type] of dependents) marks.delete(type);
    return conditionsOf(Object.fromEntries(dependents), {
      notes: Object.fromEntries(marks),
      before: this.#before,
      nowMs,
    });
  }
}

/** All conditions, sorted by type, out of what is known now: `dependents` decide over Ready, the first of them that is not True before the others. `notes` are for information only. */
export function conditionsOf(
  dependents: Readonly<Record<string, Mark>>,
  options: {
    readonly notes?: Readonly<Record<string, Mark>>;
    readonly before: readonly Condition[] | undefined;
    readonly nowMs: number;
  },
): readonly Condition[] {
  const { notes = {}, before = [], nowMs } = options;
  const of = (status: Condition["status"]) => Object.values(dependents).find((mark) => mark.status === status);
  const Ready = of("False") ?? of("Unknown") ?? isTrue;
  const deciding = Object.entries({ ...dependents, Ready }).map(([type, mark]) => ({ type, ...mark }));
  const informing = Object.entries(notes).map(([type, mark]) => ({ type, ...mark, severity: "Info" }));
  return [...deciding, ...informing]
    .map((condition) => withTime(plain(condition), before, nowMs))
    .toSorted((a, b) => (a.type < b.type ? -1 : 1));
}

/** Reasons and messages that say nothing are left out. */
function plain({ type, status, severity, reason, message }: Condition): Condition {
  return {
    type,
    status,
    ...(severity === undefined ? {} : { severity }),
    ...(reason ? { reason } : {}),
    ...(message ? { message } : {}),
  };
}

function withTime(fresh: Condition, before: readonly Condition[], nowMs: number): Condition {
  const known = findCondition(before, fresh.type);
  const isSame = (["status", "severity", "reason", "message"] as const).every(
    (field) => (known?.[field] ?? "") === (fresh[field] ?? ""),
  );
  return known !== undefined && isSame ? known : { ...fresh, lastTransitionTime: formatTime(nowMs) };
}
