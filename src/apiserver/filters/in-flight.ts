/**
 * Bounds how many requests are handled at once, reads and writes apart, as kube-apiserver's max-requests-inflight. Watches and other long-running requests do not count.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import type { RequestInfo } from "#apiserver/request.ts";

const LONG_RUNNING_SUBRESOURCES: ReadonlySet<string> = new Set(["attach", "exec", "proxy", "log", "portforward"]);
const READ_VERBS: ReadonlySet<string> = new Set(["get", "list"]);

/** True for requests that may last as long as they like. */
export function isLongRunning(info: RequestInfo): boolean {
  return info.verb === "watch" || (info.isResourceRequest && LONG_RUNNING_SUBRESOURCES.has(info.subresource));
}

/** Counts requests under way. */
export class InFlight {
  readonly #maxReads: number;
  readonly #maxWrites: number;
  #reads = 0;
  #writes = 0;

  constructor(limits: { readonly maxReads: number; readonly maxWrites: number }) {
    this.#maxReads = limits.maxReads;
    this.#maxWrites = limits.maxWrites;
  }

  get count(): number {
    return this.#reads + this.#writes;
  }

  /** Takes a place; the returned function gives it back. Throws TooManyRequests (429). */
  enter(info: RequestInfo): () => void {
    const isRead = READ_VERBS.has(info.verb);
    if (isRead ? this.#reads >= this.#maxReads : this.#writes >= this.#maxWrites) throw tooManyRequests();
    if (isRead) this.#reads++;
    else this.#writes++;
    return () => {
      if (isRead) this.#reads--;
      else this.#writes--;
    };
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
