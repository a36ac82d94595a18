/**
 * Installs Serving's kinds. Doing it again costs one read of each.
 */
import { loadKindFacts } from "#api/kind-facts-table.ts";
import type { Client } from "#client/client.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import type { Clock } from "#component-base/clock.ts";
import { customResourceDefinitions } from "./custom-resources.ts";

/** Resolves when the API server serves all of Serving's kinds. */
export async function installCustomResources(
  client: Client,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  await installDefinitions(client, customResourceDefinitions(loadKindFacts()), options);
}
