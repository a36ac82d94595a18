/**
 * An event under way for one subscription, and the memory that it takes while it is not waiting.
 */
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { Delivered } from "./delivery.ts";

/** What the items of one subscription hold, and of all of them. */
export type Memory = {
  bytes: number;
  /** Items that are not waiting. */
  busy: number;
  readonly of: { bytes: number; readonly mostBytes: number };
};

/** Attributes, and what stands around an event. */
const overheadBytes = 1024;

/** Not busy until it is woken. */
export class DeliveryItem implements Delivered {
  readonly position: number;
  readonly #memory: Memory;
  #event: CloudEvent | undefined;
  #bytes = 0;
  #isBusy = false;

  constructor(position: number, memory: Memory) {
    this.position = position;
    this.#memory = memory;
  }

  get event(): CloudEvent | undefined {
    return this.#event;
  }

  hold(event: CloudEvent): void {
    this.letGo();
    this.#event = event;
    this.#count((event.data?.length ?? 0) + overheadBytes);
  }

  /** Reads it again when it is wanted. */
  letGo(): void {
    this.#event = undefined;
    this.#count(-this.#bytes);
  }

  rest(): void {
    this.letGo();
    if (this.#isBusy) this.#memory.busy--;
    this.#isBusy = false;
  }

  wake(): void {
    if (!this.#isBusy) this.#memory.busy++;
    this.#isBusy = true;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#memory.bytes += bytes;
    this.#memory.of.bytes += bytes;
  }
}
