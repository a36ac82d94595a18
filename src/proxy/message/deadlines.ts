/**
 * Deadlines that are set and cleared with every request. One timer for all of them: setting one is a store to memory, and only when the earliest comes due are all looked at. A timer a request would
 * cost several microseconds.
 */
import type { Clock, Timer } from "#component-base/clock.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** So that many deadlines that come due one after another cost one look, in ms. */
const COARSENESS_MS = 5;

/** One thing's deadline, set again and again. */
export class Deadline {
  readonly #all: Deadlines;
  readonly onDue: () => void;
  dueMs: number = NEVER;
  /** Its neighbours among all, for {@link Deadlines}: a list that is linked costs less than a set, and a request has two deadlines. */
  before: Deadline | undefined;
  behind: Deadline | undefined;

  /** Made by {@link Deadlines.add}. */
  constructor(all: Deadlines, onDue: () => void) {
    this.#all = all;
    this.onDue = onDue;
  }

  /** Calls `onDue` after `delayMs`, unless it is set again or cleared before. 0 and infinity clear it. */
  set(delayMs: number): void {
    if (delayMs === 0 || delayMs === NEVER) this.dueMs = NEVER;
    else this.#all.schedule(this, delayMs);
  }

  clear(): void {
    this.dueMs = NEVER;
  }

  /** It is not needed any more. */
  remove(): void {
    this.dueMs = NEVER;
    this.#all.remove(this);
  }
}

/** All deadlines of one thread. */
export class Deadlines {
  readonly #clock: Clock;
  #first: Deadline | undefined;
  #wakeMs = NEVER;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(onDue: () => void): Deadline {
    const deadline = new Deadline(this, onDue);
    deadline.behind = this.#first;
    if (this.#first !== undefined) this.#first.before = deadline;
    this.#first = deadline;
    return deadline;
  }

  /** Removing one twice is no error. */
  remove(deadline: Deadline): void {
    const { before, behind } = deadline;
    if (before !== undefined) before.behind = behind;
    else if (this.#first === deadline) this.#first = behind;
    if (behind !== undefined) behind.before = before;
    deadline.before = undefined;
    deadline.behind = undefined;
  }

  schedule(deadline: Deadline, delayMs: number): void {
    const dueMs = this.#clock.now() + delayMs;
    deadline.dueMs = dueMs;
    if (dueMs < this.#wakeMs) this.#wakeAt(dueMs, delayMs);
  }

  /** Forgets everything. */
  stop(): void {
    this.#timer?.clear();
    this.#wakeMs = NEVER;
    this.#first = undefined;
  }

  #wakeAt(dueMs: number, delayMs: number): void {
    this.#timer?.clear();
    this.#wakeMs = dueMs;
    this.#timer = this.#clock.setTimer(Math.max(COARSENESS_MS, delayMs), () => this.#sweep());
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    this.#wakeMs = NEVER;
    const due: Deadline[] = [];
    let nextMs = NEVER;
    for (let deadline = this.#first; deadline !== undefined; deadline = deadline.behind) {
      if (deadline.dueMs <= nowMs) due.push(deadline);
      else if (deadline.dueMs < nextMs) nextMs = deadline.dueMs;
    }
    for (const deadline of due) {
      if (deadline.dueMs > nowMs) continue;
      deadline.dueMs = NEVER;
      deadline.onDue();
    }
    if (nextMs < this.#wakeMs) this.#wakeAt(nextMs, nextMs - nowMs);
  }
}
