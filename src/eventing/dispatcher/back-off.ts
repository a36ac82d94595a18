/**
 * When a delivery that failed is tried again. As Knative's: linear is the delay times the retry's number, exponential doubles; a Retry-After is obeyed up to `retryAfterMax`, if that is set.
 */
import type { Delivery } from "./topology.ts";

/** However it is configured: exponents outgrow lifetimes. */
const longestMs = 3_600_000;

/** Whether the status of an answer is worth another try (Knative's data plane: 404, 408, 409, 429, 5xx). */
export function isRetryable(status: number): boolean {
  return status === 404 || status === 408 || status === 409 || status === 429 || status >= 500;
}

/** Wait before retry number `retry`, from 1. `retryAfterMs` is what the answer asked for. */
export function backOffMs(delivery: Delivery, retry: number, retryAfterMs: number | undefined): number {
  const factor = delivery.backoff === "linear" ? retry : 2 ** (retry - 1);
  const ownMs = Math.min(longestMs, delivery.backoffDelayMs * factor);
  const { retryAfterMaxMs } = delivery;
  if (retryAfterMs === undefined || retryAfterMaxMs === undefined) return ownMs;
  return Math.max(ownMs, Math.min(retryAfterMs, retryAfterMaxMs));
}

/** What a Retry-After header says, in ms from now; undefined when it says nothing that can be understood. Only 429 and 503 carry one that counts. */
export function retryAfterMs(status: number, header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined || (status !== 429 && status !== 503)) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const dateMs = Date.parse(header);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
