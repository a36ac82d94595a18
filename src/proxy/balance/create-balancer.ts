/**
 * From what the configuration says to the balancer that does it.
 */
import type { Balance } from "#proxy/config/cluster.ts";
import type { BalancedEndpoint, Balancer, Random } from "./balancer.ts";
import { ConsistentHash } from "./consistent-hash.ts";
import { LeastRequest } from "./least-request.ts";
import { RoundRobin } from "./round-robin.ts";

export function createBalancer<E extends BalancedEndpoint>(
  balance: Balance | undefined,
  endpoints: readonly E[],
  random: Random,
): Balancer<E> {
  const usable = endpoints.filter(({ config }) => config.isDraining !== true && config.weight !== 0);
  switch (balance?.kind) {
    case "roundRobin":
      return new RoundRobin(usable);
    case "consistentHash":
      return new ConsistentHash(usable, random);
    default:
      return new LeastRequest(usable, random);
  }
}
