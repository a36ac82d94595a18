/**
 * Where subscribers must not be. The dispatcher runs on the machine itself, and whoever may write a Trigger chooses where it posts what: the machine's loopback, where services trust whoever
 * is root, and link-local addresses, where clouds tell secrets, are not his to reach.
 */
import { BlockList, isIP } from "node:net";
import type { Agent } from "undici";

/** Finds the address of a host, as `dns.lookup` does. */
export type Lookup =
  NonNullable<Agent.Options["connect"]> extends infer C
    ? C extends { lookup?: infer L }
      ? NonNullable<L>
      : never
    : never;

/** Whether an address must be left alone. */
export type Forbids = (address: string) => boolean;

/** An address that must be left alone: trying again does not help. */
export class ForbiddenAddress extends Error {
  readonly kind = "ForbiddenAddress";

  constructor(host: string, address: string) {
    const what = host === address ? host : `${host} is ${address}, and that`;
    super(`${what} is an address of the machine itself, where no subscriber may be`);
  }
}

/** Loopback and link-local addresses, in whatever notation. */
export const forbidsOwnMachine: Forbids = makeForbids([
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["::", 127],
  ["fe80::", 10],
  ["fd00:ec2::254", 128],
]);

/** Throws {@link ForbiddenAddress} when the host of a URL is such an address; a name is looked at when it is found. */
export function checkHost(hostname: string, forbids: Forbids): void {
  const address = hostname.replace(/^\[|\]$/g, "");
  if (isIP(address) !== 0 && forbids(address)) throw new ForbiddenAddress(address, address);
}

/** Finds addresses as `lookup` does, and none that are forbidden. What is found is what is connected to. */
export function guardedLookup(lookup: Lookup, forbids: Forbids): Lookup {
  return (hostname, options, callback) =>
    lookup(hostname, options, (error, found, family) => {
      if (error) return callback(error, found, family);
      const addresses = typeof found === "string" ? [found] : found.map(({ address }) => address);
      const forbidden = addresses.find((address) => forbids(address));
      if (forbidden === undefined) return callback(null, found, family);
      callback(new ForbiddenAddress(hostname, forbidden), typeof found === "string" ? "" : [], family);
    });
}

function makeForbids(subnets: readonly (readonly [string, number])[]): Forbids {
  const list = new BlockList();
  for (const [address, bits] of subnets) list.addSubnet(address, bits, isIP(address) === 4 ? "ipv4" : "ipv6");
  // An IPv4 address in IPv6's clothes is looked at as the one that it is.
  return (address) => list.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");
}
