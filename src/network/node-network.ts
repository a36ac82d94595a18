/**
 * What a network namespace needs before pods and Services can live in it: the node's own addresses, the Service and load-balancer ranges as local ones, forwarding. Set at
 * each start, taken away by `delete`.
 */
import { writeFileSync } from "node:fs";
import { runIp } from "#linux/ip-program.ts";

/** Addresses of the namespace. */
export type NodeNetworkSettings = {
  /** /32 addresses that this machine answers at: the node's, and the control plane's where it lives in the same namespace. */
  readonly addresses: readonly string[];
  /** Ranges whose packets must not leave the machine: Services and load balancers. */
  readonly localRanges: readonly string[];
};

/** Sets addresses, routes and kernel settings. May be called again. */
export async function setUpNodeNetwork({ addresses, localRanges }: NodeNetworkSettings): Promise<void> {
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  // Node ports answer at 127.0.0.1: packets with that source go out to pods. The proxy's table drops what comes in for 127/8 from elsewhere.
  writeFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
  await runIp([
    "link set lo up",
    ...addresses.map((address) => `address replace ${address}/32 dev lo`),
    // Without a route a machine that has no default one could not even begin to send to a ClusterIP.
    ...localRanges.map((range) => `route replace local ${range} dev lo`),
  ]);
}

/** Takes addresses and routes away. What is not there is success. */
export async function tearDownNodeNetwork({ addresses, localRanges }: NodeNetworkSettings): Promise<void> {
  const lines = [
    ...localRanges.map((range) => `route delete local ${range} dev lo`),
    ...addresses.map((address) => `address delete ${address}/32 dev lo`),
  ];
  await runIp(lines, { force: true });
}
