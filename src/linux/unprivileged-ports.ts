/**
 * Which ports of this machine are for everybody.
 */
import { readFileSync } from "node:fs";

/** The first port that needs no privilege, in the network that this process is in. */
export function firstUnprivilegedPort(): number {
  try {
    return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  } catch {
    return 1024; // a kernel that has no such setting
  }
}
