/**
 * The addresses under which others reach this machine.
 */
import { readFileSync } from "node:fs";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** All IPv4 addresses but those of loopback, of links to pods and nodes, or that are good on one link only. Those of the interface of the default route come first. */
export function machineAddresses(
  interfaces: NodeJS.Dict<readonly NetworkInterfaceInfo[]> = networkInterfaces(),
  main: string | undefined = interfaceOfDefaultRoute(readRoutes()),
): string[] {
  return Object.entries(interfaces)
    .filter(([name]) => !/^nl\d+[np]/.test(name))
    .sort(([a], [b]) => Number(b === main) - Number(a === main))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ family, internal, address }) => family === "IPv4" && !internal && !address.startsWith("169.254."))
    .map(({ address }) => address);
}

/** Out of /proc/net/route: the one with the lowest metric, if there are several. */
export function interfaceOfDefaultRoute(routes: string): string | undefined {
  return routes
    .split("\n")
    .map((line) => line.split(/\s+/))
    .filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000")
    .sort((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
}

function readRoutes(): string {
  try {
    return readFileSync("/proc/net/route", "utf8");
  } catch {
    return ""; // a kernel without IPv4
  }
}
