/**
 * The seats of one priority level, and the queues of those who wait for one. Flows are dealt a hand of queues and wait in the shortest of it, so that one that asks for much delays few others; queues are served in turn.
 */
import type { PriorityLevelConfiguration } from "#api/generated/types/flowcontrol-v1.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Clock, Timer } from "#component-base/clock.ts";

/** Gives its seat back. */
export type Leave = () => void;

/** Longest wait for a seat: a quarter of the time that a request has, as upstream. */
const MAX_WAIT_MS = 15_000;

type Waiting = { readonly seated: () => void; readonly timer: Timer };

/** Whether a level may take a seat beyond its own now, because others do not use theirs. */
export type MayBorrow = (level: PriorityLevel) => boolean;

/** One level. */
export class PriorityLevel {
  readonly name: string;
  /** Of the configuration's object; "" when there is none. */
  readonly uid: string;
  readonly isExempt: boolean;
  /** Its own seats, and how many of them others may use while it does not. */
  readonly seats: number;
  readonly lendable: number;
  /** With borrowed ones. */
  readonly maxSeats: number;
  readonly #clock: Clock;
  readonly #mayBorrow: MayBorrow;
  readonly #leave: Leave;
  readonly #handSize: number;
  readonly #maxQueued: number;
  readonly #queues: Waiting[][];
  #nextQueue = 0;
  #waiting = 0;
  #taken = 0;

  constructor(
    configuration: PriorityLevelConfiguration,
    init: {
      readonly seats: number;
      readonly clock: Clock;
      readonly mayBorrow: MayBorrow;
      readonly onLeave: () => void;
    },
  ) {
    const { metadata, spec } = configuration;
    const { limited } = spec ?? {};
    this.name = metadata?.name ?? "";
    this.uid = metadata?.uid ?? "";
    this.isExempt = spec?.type === "Exempt";
    this.seats = init.seats;
    this.lendable = Math.round((init.seats * (limited?.lendablePercent ?? 0)) / 100);
    const borrowing = limited?.borrowingLimitPercent;
    this.maxSeats = borrowing === undefined ? Infinity : init.seats + Math.round((init.seats * borrowing) / 100);
    this.#clock = init.clock;
    this.#mayBorrow = init.mayBorrow;
    this.#leave = () => {
      this.#taken--;
      init.onLeave();
    };
    const queuing = limited?.limitResponse?.type === "Queue" ? limited.limitResponse.queuing : undefined;
    this.#handSize = queuing?.handSize ?? 1;
    this.#maxQueued = queuing === undefined ? 0 : (queuing.queueLengthLimit ?? 50);
    this.#queues = Array.from({ length: queuing?.queues ?? 0 }, () => []);
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a seat, at once or when one is free. Throws TooManyRequests (429). */
  enter(flow: string): Leave | Promise<Leave> {
    if (this.isExempt || (this.#waiting === 0 && this.#hasSeat())) {
      this.#taken++;
      return this.#leave;
    }
    const queue = this.#queueOf(flow);
    if (queue === undefined || queue.length >= this.#maxQueued) throw tooManyRequests();
    return this.#wait(queue);
  }

  /** Gives free seats to those who wait. */
  seatWaiting(): void {
    while (this.#waiting > 0 && this.#hasSeat()) {
      const next = this.#next();
      if (next === undefined) return;
      this.#taken++;
      next.timer.clear();
      next.seated();
    }
  }

  #hasSeat(): boolean {
    return this.#taken < this.seats || (this.#taken < this.maxSeats && this.#mayBorrow(this));
  }

  #wait(queue: Waiting[]): Promise<Leave> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        const index = queue.indexOf(waiting);
        if (index < 0) return;
        queue.splice(index, 1);
        this.#waiting--;
        reject(tooManyRequests());
      };
      const timer = this.#clock.setTimer(MAX_WAIT_MS, giveUp);
      const waiting: Waiting = { seated: () => resolve(this.#leave), timer };
      queue.push(waiting);
      this.#waiting++;
    });
  }

  // From the queues in turn.
  #next(): Waiting | undefined {
    for (let i = 0; i < this.#queues.length; i++) {
      const queue = this.#queues[this.#nextQueue++ % this.#queues.length] as Waiting[];
      const first = queue.shift();
      if (first === undefined) continue;
      this.#waiting--;
      return first;
    }
    return undefined;
  }

  // The shortest of the flow's hand.
  #queueOf(flow: string): Waiting[] | undefined {
    let shortest: Waiting[] | undefined;
    let hash = hashOf(flow);
    for (let card = 0; card < this.#handSize; card++) {
      const queue = this.#queues[hash % this.#queues.length];
      if (queue !== undefined && (shortest === undefined || queue.length < shortest.length)) shortest = queue;
      hash = (Math.imul(hash, 2_654_435_761) + card + 1) >>> 0;
    }
    return shortest;
  }
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

function tooManyRequests(): StatusError {
  return new StatusError({
    reason: "TooManyRequests",
    code: 429,
    message: "Too many requests, please try again later.",
    details: { retryAfterSeconds: 1 },
  });
}
