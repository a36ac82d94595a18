/**
 * API priority and fairness, as apiserver's pkg/util/flowcontrol: bounds how many requests are handled at once, a share for each priority level, so that no flood of one sort keeps out nodes, leaders or probes. What comes
 * beyond waits in its level's queues; only when too many wait, or for too long, a request is refused.
 */
import type { FlowSchema, PriorityLevelConfiguration } from "#api/generated/types/flowcontrol-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";
import { defaultFlowSchemas, defaultPriorityLevels } from "./default-flows.ts";
import { flowOf, inOrder, takes } from "./flow-schemas.ts";
import { type Leave, PriorityLevel } from "./priority-level.ts";

/** Where a request belongs. The uids go into its answer's headers. */
export type Flow = {
  readonly level: PriorityLevel;
  readonly schemaUid: string;
  readonly distinguisher: string;
};

const MANDATORY = new Set(["exempt", "catch-all"]);

/** Gives out seats. */
export class FlowControl {
  readonly #clock: Clock;
  readonly #seats: number;
  #schemas: readonly FlowSchema[] = [];
  #levels: ReadonlyMap<string, PriorityLevel> = new Map();
  /** Of configurations before: their requests may be under way still. */
  #former: readonly PriorityLevel[] = [];

  /** `seats` are shared by all levels; upstream's max-requests-inflight and max-mutating-requests-inflight together. */
  constructor(seats: number, clock: Clock) {
    this.#seats = seats;
    this.#clock = clock;
    this.configure(defaultFlowSchemas, defaultPriorityLevels);
  }

  /** Requests under way. */
  get count(): number {
    return this.#sum(({ taken }) => taken);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#sum(({ waiting }) => waiting);
  }

  /** Takes over what is configured. What must be there and is not holds as it is by default. */
  configure(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): void {
    const configurations = withMandatory(levels, defaultPriorityLevels);
    const shares = configurations.reduce((sum, level) => sum + sharesOf(level), 0);
    this.#former = [...this.#former, ...this.#levels.values()].filter(({ taken, waiting }) => taken + waiting > 0);
    this.#levels = new Map(
      configurations.map((configuration) => {
        const seats = Math.ceil((this.#seats * sharesOf(configuration)) / shares);
        const level = new PriorityLevel(configuration, {
          seats,
          clock: this.#clock,
          mayBorrow: (borrower) => this.#mayBorrow(borrower),
          onLeave: () => this.#seatWaiting(level),
        });
        return [level.name, level];
      }),
    );
    this.#schemas = inOrder(withMandatory(schemas, defaultFlowSchemas)).filter(({ spec }) =>
      this.#levels.has(spec?.priorityLevelConfiguration.name ?? ""),
    );
  }

  /** Where a request belongs; undefined for a user that not even the last schema takes. */
  classify(info: RequestInfo, user: User): Flow | undefined {
    const schema = this.#schemas.find((each) => takes(each, info, user));
    const level = this.#levels.get(schema?.spec?.priorityLevelConfiguration.name ?? "");
    if (schema === undefined || level === undefined) return undefined;
    const { uid = "", name = "" } = schema.metadata ?? {};
    return { level, schemaUid: uid, distinguisher: `${name} ${flowOf(schema, info, user)}` };
  }

  /** Takes a seat, at once or when one is free. Throws TooManyRequests (429). */
  enter(flow: Flow): Leave | Promise<Leave> {
    return flow.level.enter(flow.distinguisher);
  }

  // Seats that their owners keep for themselves, or use, are not to be had.
  #mayBorrow(borrower: PriorityLevel): boolean {
    let used = 0;
    for (const level of this.#levels.values()) {
      if (level.isExempt) continue;
      used += level === borrower ? level.taken : Math.max(level.taken, level.seats - level.lendable);
    }
    return used < this.#seats;
  }

  // The level's own first; then those that may borrow what became free.
  #seatWaiting(level: PriorityLevel): void {
    level.seatWaiting();
    for (const other of this.#levels.values()) if (other.waiting > 0) other.seatWaiting();
    for (const former of this.#former) if (former.waiting > 0) former.seatWaiting();
  }

  #sum(read: (level: PriorityLevel) => number): number {
    let sum = 0;
    for (const level of this.#levels.values()) sum += read(level);
    for (const level of this.#former) sum += read(level);
    return sum;
  }
}

function sharesOf({ spec }: PriorityLevelConfiguration): number {
  return spec?.type === "Exempt" ? 0 : (spec?.limited?.nominalConcurrencyShares ?? 30);
}

function withMandatory<T extends FlowSchema | PriorityLevelConfiguration>(
  given: readonly T[],
  defaults: readonly T[],
): readonly T[] {
  const isMissing = ({ metadata }: T): boolean =>
    MANDATORY.has(metadata?.name ?? "") && !given.some((each) => each.metadata?.name === metadata?.name);
  return [...given, ...defaults.filter(isMissing)];
}
