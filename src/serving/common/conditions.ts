/**
 * Conditions of a status as Knative keeps them: some decide over Ready, the others only inform; times change only when something else does. As upstream's `knative.dev/pkg/apis`
 * condition sets.
 */
import { formatTime } from "#apimachinery/time.ts";
import type { Condition } from "#serving/kinds.ts";

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
    if (this.#dependents.length > 0) marks.set("Ready", this.#ready());
    return [...marks.entries()]
      .map(([type, mark]) => this.#condition(type, mark, nowMs))
      .toSorted((a, b) => (a.type < b.type ? -1 : 1));
  }

  #ready(): Mark {
    const of = (status: Condition["status"]) =>
      this.#dependents.map((type) => this.#marks.get(type)).find((mark) => mark?.status === status);
    return of("False") ?? of("Unknown") ?? isTrue;
  }

  #condition(type: string, { status, reason, message }: Mark, nowMs: number): Condition {
    const isInfo = type !== "Ready" && !this.#dependents.includes(type);
    const fresh: Condition = {
      type,
      status,
      ...(isInfo ? { severity: "Info" } : {}),
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
    };
    const known = findCondition(this.#before, type);
    const isSame =
      known !== undefined &&
      known.status === fresh.status &&
      (known.reason ?? "") === (fresh.reason ?? "") &&
      (known.message ?? "") === (fresh.message ?? "") &&
      known.severity === fresh.severity;
    return isSame ? known : { ...fresh, lastTransitionTime: formatTime(nowMs) };
  }
}
