/**
 * Writes that the API server refused are not tried again before their time, whatever wakes their owner meanwhile: its own status with the reason in it, for one. Without this a
 * refusal whose words change each time (a webhook that counts, a quota that is in use) would be tried as fast as the API answers.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import type { Clock } from "#component-base/clock.ts";
import { isFalse, isUnknown, type Mark } from "./conditions.ts";

/** The API server does not take an object. The same one is tried again after `retryAfterMs`. */
export class WriteRefused extends Error {
  readonly kind = "WriteRefused";
  readonly retryAfterMs: number;
  /** False when this is what was said last time, and nobody was asked. */
  readonly isNews: boolean;
  override readonly cause: StatusError;

  constructor(
    message: string,
    how: { readonly cause: StatusError; readonly retryAfterMs: number; readonly isNews: boolean },
  ) {
    super(message, { cause: how.cause });
    this.cause = how.cause;
    this.retryAfterMs = how.retryAfterMs;
    this.isNews = how.isNews;
  }

  /** False where somebody must change something; Unknown where the API server itself did not get through (a webhook that does not answer). */
  mark(reason: string, message: string = this.message): Mark {
    return this.cause.code >= 500 ? isUnknown(reason, message) : isFalse(reason, message);
  }
}

/** Waits after refusals: doubled each time. What stands in the way is often taken away by somebody who then looks. */
const firstWaitMs = 1000;
const longestWaitMs = 60_000;

type Refusal = { readonly form: string; readonly count: number; readonly untilMs: number; readonly cause: StatusError };

/** Remembers refusals by key, as long as the same is wanted. */
export class RefusedWrites {
  readonly #refusals = new Map<string, Refusal>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `write`, which would write `wanted`; `what` is it in words: create Deployment "x". Throws {@link WriteRefused} with "Failed to create Deployment "x": why"; other errors as they are. */
  async attempt<T>(
    key: string,
    { wanted, what }: { readonly wanted: object; readonly what: string },
    write: () => Promise<T>,
  ): Promise<T> {
    const known = this.#refusals.get(key);
    const same = known !== undefined && known.form === JSON.stringify(wanted) ? known : undefined;
    if (same !== undefined && this.#clock.now() < same.untilMs) throw this.#refused(what, same, false);
    try {
      const written = await write();
      this.#refusals.delete(key);
      return written;
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      const count = same?.count ?? 0;
      const untilMs = this.#clock.now() + Math.min(firstWaitMs * 2 ** count, longestWaitMs);
      const refusal = { form: JSON.stringify(wanted), count: count + 1, untilMs, cause };
      this.#refusals.set(key, refusal);
      throw this.#refused(what, refusal, true);
    }
  }

  /** Its owner is gone. */
  forget(key: string): void {
    this.#refusals.delete(key);
  }

  #refused(what: string, { cause, untilMs }: Refusal, isNews: boolean): WriteRefused {
    const retryAfterMs = Math.max(1, untilMs - this.#clock.now());
    return new WriteRefused(`Failed to ${what}: ${cause.message}`, { cause, retryAfterMs, isNews });
  }
}

/** By the object, by somebody's right or quota, or by a webhook. A local copy that lags behind (404, 409) and a server that is busy (429, 503) pass at once. */
function isRefusal(error: unknown): error is StatusError {
  return error instanceof StatusError && [400, 403, 413, 422, 500, 504].includes(error.code);
}
