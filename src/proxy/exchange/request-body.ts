/**
 * A request's body on its way: kept from the beginning as long as another try may need it, and no more than a bound of it.
 */
import type { Fields } from "#proxy/message/fields.ts";
import type { UpstreamStream } from "./streams.ts";

/** Bytes that are kept for another try; also what a request that waits may bring. */
export const KEPT_BYTES: number = 64 * 1024;

export class RequestBody {
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #isKept = true;
  #isWhole: boolean;
  #trailers: Fields = [];
  #onWhole: ((sendBody: (upstream: UpstreamStream) => void) => void)[] | undefined;
  bytes = 0;

  constructor(isEmpty: boolean) {
    this.#isWhole = isEmpty;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** All that came so far is at hand. */
  get canReplay(): boolean {
    return this.#isKept;
  }

  /** No more can be kept: who has nowhere to send it must stop reading. */
  get isFull(): boolean {
    return this.#keptBytes >= KEPT_BYTES;
  }

  /** A piece came; `upstream` is where it goes at once. */
  add(bytes: Buffer, upstream: UpstreamStream | undefined): void {
    this.bytes += bytes.length;
    upstream?.write(bytes);
    if (!this.#isKept) return;
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    if (upstream !== undefined && this.#keptBytes > KEPT_BYTES) this.forget();
  }

  end(trailers: Fields, upstream: UpstreamStream | undefined): void {
    this.#isWhole = true;
    this.#trailers = trailers;
    upstream?.end(trailers);
    for (const send of this.#onWhole ?? []) this.whenWhole(send);
  }

  /** After an upgrade more comes, until the client ends its side. */
  reopen(): void {
    this.#isWhole = false;
  }

  /** Calls `send` once all of the body is there, with what writes it elsewhere; never when it was too large to be kept. */
  whenWhole(send: (sendBody: (upstream: UpstreamStream) => void) => void): void {
    if (!this.#isWhole) this.#onWhole = [...(this.#onWhole ?? []), send];
    else if (this.#isKept) send((upstream) => this.replay(upstream));
  }

  /** Sends what came so far. */
  replay(upstream: UpstreamStream): void {
    for (const bytes of this.#kept) upstream.write(bytes);
    if (this.#isWhole) upstream.end(this.#trailers);
    else if (this.#keptBytes > KEPT_BYTES) this.forget();
  }

  /** There will be no other try. */
  forget(): void {
    this.#isKept = false;
    this.#kept = [];
    this.#keptBytes = 0;
  }
}
