/**
 * Lays the objects of an informer's local copy to rest that nobody looks at, in small steps. To have many of them parsed again at once would hold everybody up, so a copy whose users look at all of it from
 * time to time learns to wait for longer than they do.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ObjectStore } from "./object-store.ts";
import { TextPacker } from "./text-packer.ts";

/** After one to two of these what nobody looked at rests. */
const REST_MS = 12_000;
/** How many objects may be parsed again for one look at everything: about two milliseconds. */
const FEW = 64;
/** So long after a look at everything nothing is laid to rest, where such looks have woken more. It grows from one to the next. */
const MIN_WAIT_MS = 60_000;
const MAX_WAIT_MS = 3_600_000;
const GROWTH = 4;
/** How long one step may take, and how many objects are looked at between two looks at the time. */
const STEP_MS = 2;
const STEP_OBJECTS = 8;

/** Sees to one local copy. */
export class RestingStore<T extends KubeObject> {
  readonly #store: ObjectStore<T>;
  readonly #clock: Clock;
  readonly #packer = new TextPacker<T>();
  #timer: Timer | undefined;
  #isStopped = false;
  #wholeLists = 0;
  #wokenByLists = 0;
  #listedMs = Number.NEGATIVE_INFINITY;
  #waitMs = 0;

  constructor(store: ObjectStore<T>, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** What was looked at until now does not count: at the start everybody looks at everything. */
  start(): void {
    this.#wholeLists = this.#store.wholeLists;
    this.#wokenByLists = this.#store.wokenByLists;
    this.#wait();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.clear();
  }

  #wait(): void {
    this.#timer = this.#clock.setTimer(REST_MS, async () => {
      if (!this.#mustWait()) await this.#sweep();
      if (!this.#isStopped) this.#wait();
    });
  }

  #mustWait(): boolean {
    const { wholeLists, wokenByLists } = this.#store;
    if (wholeLists > this.#wholeLists) this.#listedMs = this.#clock.now();
    if (wokenByLists > this.#wokenByLists + FEW) {
      this.#waitMs = Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, this.#waitMs * GROWTH));
    }
    this.#wholeLists = wholeLists;
    this.#wokenByLists = wokenByLists;
    return this.#clock.now() - this.#listedMs < this.#waitMs;
  }

  async #sweep(): Promise<void> {
    let startedMs = performance.now();
    let count = 0;
    for (const held of this.#store.held()) {
      held.rest(this.#packer);
      if (++count % STEP_OBJECTS !== 0 || performance.now() - startedMs < STEP_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      startedMs = performance.now();
    }
  }
}
