/**
 * Says where a node's data plane takes requests, in its DataPlane object.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import { dataPlanes } from "./data-plane-object.ts";
import type { NodeEngineOptions } from "./node-engine-options.ts";

const askAgainMs = 500;

/** Resolves when it is said. Asks again while the kind is not there, or the API away. */
export async function registerDataPlane(options: NodeEngineOptions, signal: AbortSignal): Promise<void> {
  const { nodeName, addresses, httpPort, peer, client, clock, logger } = options;
  const body = {
    apiVersion: `${dataPlanes.group}/${dataPlanes.version}`,
    kind: "DataPlane",
    spec: { addresses, httpPort, ...(peer === undefined ? {} : { peer }) },
  };
  for (;;) {
    try {
      const apply = { fieldManager: "nodeless-data-plane", force: true, signal };
      await client.patch({ resource: dataPlanes, name: nodeName }, { type: "apply", body }, apply);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!hasReason(error, "NotFound")) logger.debug("Data plane could not be registered", { error });
      await clock.sleep(askAgainMs, signal);
    }
  }
}
