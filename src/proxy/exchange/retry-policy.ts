/**
 * Whether a request may be tried once more. Only before the response began, and only as long as its body, if it has one, is still at hand.
 */
import type { RetryConfig } from "#proxy/config/route.ts";
import { isIdempotent } from "#proxy/http1/methods.ts";
import type { UpstreamFailure } from "./streams.ts";

/** Why a try is over. */
export type TryOutcome =
  | { readonly kind: "failure"; readonly failure: UpstreamFailure }
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "timeout" };

const defaultOn: NonNullable<RetryConfig["on"]> = ["connect", "reset"];

/** Retries that a rule allows. */
export function attemptsOf(config: RetryConfig | undefined): number {
  return config?.attempts ?? 2;
}

/** Whether the rule wants another try after `outcome`; how many there were already is counted elsewhere. */
export function wantsRetry(config: RetryConfig | undefined, method: string, outcome: TryOutcome): boolean {
  const on = config?.on ?? defaultOn;
  const isRepeatable = isIdempotent(method) || config?.retriesNonIdempotent === true;
  switch (outcome.kind) {
    case "status":
      return on.includes("status") && isRepeatable && (config?.statuses ?? []).includes(outcome.status);
    case "timeout":
      return on.includes("timeout") && isRepeatable;
    default:
      return wantsAfterFailure(on, isRepeatable, outcome.failure.kind);
  }
}

function wantsAfterFailure(on: readonly string[], isRepeatable: boolean, kind: UpstreamFailure["kind"]): boolean {
  // Nothing was done in these two cases, so even what must not be done twice may be tried again.
  if (kind === "connect" || kind === "refused") return on.includes("connect");
  return kind === "reset" && on.includes("reset") && isRepeatable;
}

/** How long to wait before the retry, in ms: none before the first when it goes elsewhere, then a random time that may grow. */
export function backoffMs(config: RetryConfig | undefined, retry: number, random: () => number): number {
  const base = config?.backoffMs ?? (retry === 1 ? 0 : 25);
  return Math.round(base * retry * random());
}
