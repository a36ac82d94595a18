/**
 * The addresses under which others reach this machine.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** All IPv4 addresses but those of loopback, of links to pods and nodes, or that are good on one link only. */
export function machineAddresses(
  interfaces: NodeJS.Dict<readonly NetworkInterfaceInfo[]> = networkInterfaces(),
): string[] {
  return Object.entries(interfaces)
    .filter(([name]) => !/^nl\d+[np]/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ family, internal, address }) => family === "IPv4" && !internal && !address.startsWith("169.254."))
    .map(({ address }) => address);
}
