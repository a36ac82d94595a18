/**
 * Where a node takes requests: at which addresses, and at the first of some ports that can be had. The sockets are held by a process beside the node, so connections that come while the node's
 * process is away wait for the next one instead of being refused.
 */
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { machineAddresses } from "#cmd/machine/machine-addresses.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { Logger } from "#component-base/logger.ts";
import { type HeldListener, openHeldListener, releaseHeldListeners } from "#linux/held-sockets.ts";
import { loadLibc } from "#linux/libc.ts";
import type { SharedListener } from "./shared-listeners.ts";

/** One after the other, when somebody has the first. */
const ports: Readonly<Record<SharedListener, readonly number[]>> = {
  http: [80, 8080, 8880],
  https: [443, 8443, 8843],
};

/** A listener that can be read from. */
export type Place = HeldListener & { readonly address: string };

export type PlacesOptions = { readonly cluster: Cluster; readonly plan: NodePlan; readonly logger: Logger };

/** A node with a network of its own is reached at its own address; the only one at the machine's loopback, and with --expose at all addresses of the machine. */
export function addressesOf({ cluster: { record }, plan }: PlacesOptions): readonly string[] {
  if (record.nodes > 1) return [plan.address];
  return [addressPlan(record).nodePortLoopback, ...(record.isExposed ? machineAddresses() : [])];
}

/** Opens this listener at all addresses where it can be had, and says where it cannot. */
export async function openPlaces(listener: SharedListener, options: PlacesOptions): Promise<readonly Place[]> {
  const libc = await loadLibc();
  const { plan, logger } = options;
  const places: Place[] = [];
  for (const address of addressesOf(options)) {
    const wanted = { name: nameOf(plan, listener), address, ports: ports[listener] };
    try {
      const held = openHeldListener(libc, wanted);
      if (held === undefined)
        logger.error("Found no free port for requests", { listener, address, ports: ports[listener] });
      else places.push({ ...held, address });
    } catch (error) {
      logger.warn("Could not take requests at an address", { listener, address, error });
    }
  }
  return places;
}

/** Nobody waits there any more. */
export function releasePlaces(listener: SharedListener, plan: NodePlan): void {
  releaseHeldListeners(nameOf(plan, listener));
}

/** Below the name of the node's other sockets: who takes the node down takes these away too. */
function nameOf(plan: NodePlan, listener: SharedListener): string {
  return `${plan.layout.run}/${listener}`;
}
