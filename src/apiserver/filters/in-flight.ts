/**
 * Bounds how many requests are handled at once, reads and writes apart, as kube-apiserver's max-requests-inflight. What comes beyond waits its turn, as upstream's priority and fairness lets it; only when too
 * many wait a request is refused. Watches and other long-running requests do not count.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import type { RequestInfo } from "#apiserver/request.ts";

const LONG_RUNNING_SUBRESOURCES: ReadonlySet<string> = new Set(["attach", "exec", "proxy", "log", "portforward"]);
const READ_VERBS: ReadonlySet<string> = new Set(["get", "list"]);
/** Most requests of one sort that may wait. */
const MAX_WAITING = 4096;

/** True for requests that may last as long as they like. */
export function isLongRunning(info: RequestInfo): boolean {
  return info.verb === "watch" || (info.isResourceRequest && LONG_RUNNING_SUBRESOURCES.has(info.subresource));
}

/** Gives its place back. */
export type Leave = () => void;

/** Counts requests under way. */
export class InFlight {
  readonly #reads: Places;
  readonly #writes: Places;

  constructor(limits: { readonly maxReads: number; readonly maxWrites: number }) {
    this.#reads = new Places(limits.maxReads);
    this.#writes = new Places(limits.maxWrites);
  }

  get count(): number {
    return this.#reads.taken + this.#writes.taken;
  }

  /** Takes a place, at once or when one is free. Throws TooManyRequests (429). */
  enter(info: RequestInfo): Leave | Promise<Leave> {
    return (READ_VERBS.has(info.verb) ? this.#reads : this.#writes).take();
  }
}

class Places {
  readonly #max: number;
  readonly #leave: Leave;
  #waiting: ((leave: Leave) => void)[] = [];
  #nextWaiting = 0;
  taken = 0;

  constructor(max: number) {
    this.#max = max;
    this.#leave = () => this.#free();
  }

  take(): Leave | Promise<Leave> {
    if (this.taken < this.#max) {
      this.taken++;
      return this.#leave;
    }
    if (this.#waiting.length - this.#nextWaiting >= MAX_WAITING) throw tooManyRequests();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  // The place goes to who has waited longest.
  #free(): void {
    const next = this.#waiting[this.#nextWaiting];
    if (next === undefined) {
      this.taken--;
      return;
    }
    this.#nextWaiting++;
    if (this.#nextWaiting > MAX_WAITING || this.#nextWaiting === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#nextWaiting);
      this.#nextWaiting = 0;
    }
    next(this.#leave);
  }
}

function tooManyRequests(): StatusError {
  return new StatusError({
    reason: "TooManyRequests",
    code: 429,
    message: "Too many requests, please try again later.",
    details: { retryAfterSeconds: 1 },
  });
}
