/**
 * Whether a request is likely to be what ends the instances that it is sent to: whoever was the only one at an instance that died may be sent once more, because instances die for reasons of their own, but not a third time. A
 * connection that had served before may have been closed because it was idle; that its instance died is known once nobody listens there.
 */
import type { UpstreamFailure } from "./streams.ts";

/** The instance, as far as it is needed here. */
export interface Breakable {
  readonly name: string;
  /** A connection with a request on it broke. True when no other request was there. */
  breaksAlone(nowMs: number): boolean;
}

const mostAlone = 2;

/** What became of one request's tries. */
export class Breaks {
  #alone = 0;
  #suspect: string | undefined;

  /** True when it is not to be sent again. */
  get areEnough(): boolean {
    return this.#alone >= mostAlone;
  }

  onFailure({ kind, wasReused }: UpstreamFailure, endpoint: Breakable, nowMs: number): void {
    const isDeath = kind === "connect" && endpoint.name === this.#suspect;
    this.#suspect = undefined;
    if (isDeath) this.#alone++;
    if (kind !== "reset" || !endpoint.breaksAlone(nowMs)) return;
    if (wasReused) this.#suspect = endpoint.name;
    else this.#alone++;
  }
}
