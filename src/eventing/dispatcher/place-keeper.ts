/**
 * Writes down how far subscriptions have come: a moment after something happened, so that a crash repeats little, and together, so that it costs little.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Places } from "./event-log.ts";
import { type Place, placeFromBytes, placeToBytes } from "./place.ts";

/** What was delivered within this time before the process was killed is delivered again. */
const delayMs = 20;
/** The same for the whole machine. */
const durableMs = 2000;
const retryMs = 1000;

/** The places of all subscriptions. */
export class PlaceKeeper {
  readonly #places: Places;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #changed = new Map<string, () => Place>();
  #timer: Timer | undefined;
  #sync: Timer | undefined;
  #isFailing = false;

  constructor(places: Places, clock: Clock, logger: Logger) {
    this.#places = places;
    this.#clock = clock;
    this.#logger = logger;
  }

  get(subscription: string): Place | undefined {
    const bytes = this.#places.get(subscription);
    return bytes && placeFromBytes(bytes);
  }

  /** Has the place written that `now` will give. */
  changed(subscription: string, now: () => Place): void {
    this.#changed.set(subscription, now);
    this.#schedule(delayMs);
  }

  forget(subscription: string): void {
    this.#changed.delete(subscription);
    this.#places.delete(subscription);
    this.#schedule(delayMs);
  }

  keys(): string[] {
    return this.#places.keys();
  }

  /** Writes all that has changed. Throws when it could not. */
  async flush(isDurable: boolean): Promise<void> {
    for (const [subscription, now] of this.#changed) this.#places.set(subscription, placeToBytes(now()));
    this.#changed.clear();
    await this.#places.flush({ isDurable });
  }

  stop(): void {
    this.#timer?.clear();
    this.#sync?.clear();
  }

  #schedule(afterMs: number): void {
    this.#timer ??= this.#clock.setTimer(afterMs, () => void this.#write()); // never rejects
  }

  async #write(): Promise<void> {
    try {
      await this.flush(false);
      this.#syncLater();
      if (this.#isFailing) this.#logger.info("Wrote the places of subscriptions again");
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#logger.error("The places of subscriptions could not be written", { error });
      this.#isFailing = true;
    }
    this.#timer = undefined;
    if (this.#isFailing) this.#schedule(retryMs);
    else if (this.#changed.size > 0) this.#schedule(delayMs);
  }

  #syncLater(): void {
    this.#sync ??= this.#clock.setTimer(durableMs, () => {
      this.#sync = undefined;
      void this.flush(true).catch(() => this.#schedule(retryMs)); // which says so
    });
  }
}
