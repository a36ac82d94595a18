/**
 * Patience with webhooks on this machine that cannot be connected to: after a start the parts of a control plane come up one after another, each at another port than before. One whose part was never up yet has port 0.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebhookClientConfig } from "#api/generated/types/admissionregistration-v1.ts";

/** Where a webhook is, and how long its answer may take. */
export type WebhookPlace = { readonly clientConfig: WebhookClientConfig; readonly timeoutSeconds: number };

/** How long one may take to be where it was, and how often it is asked. */
const patienceMs = 3000;
const tryAgainMs = 50;

/** Calls, and calls again where somebody may soon listen. `findAgain` says where that is by now: undefined when nobody wants it to be called any more. */
export async function callWhenThere<P extends WebhookPlace, T>(
  place: P,
  findAgain: () => P | undefined,
  call: (place: P) => Promise<T>,
): Promise<T> {
  const startMs = performance.now();
  let current = place;
  for (;;) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after another
      return await call(current);
    } catch (error) {
      if (!isRefused(error) || performance.now() - startMs >= patienceWith(current)) throw error;
      // oxlint-disable-next-line no-await-in-loop
      await sleep(tryAgainMs);
      const found = findAgain();
      if (found === undefined) throw error;
      current = found;
    }
  }
}

function patienceWith({ clientConfig: { url }, timeoutSeconds }: WebhookPlace): number {
  if (url === undefined || !URL.canParse(url)) return 0;
  const { hostname, port } = new URL(url);
  const isLoopback = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (!isLoopback) return 0;
  return port === "0" ? timeoutSeconds * 1000 : Math.min(patienceMs, timeoutSeconds * 1000);
}

/** Nobody listens there. */
function isRefused(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if ((at as NodeJS.ErrnoException).code === "ECONNREFUSED") return true;
  return false;
}
