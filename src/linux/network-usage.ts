/**
 * What went through the network devices of a namespace, by a process in it: /proc/PID/net/dev.
 */
import { readFileSync } from "node:fs";

/** Counters of one device since it was made. */
export type InterfaceUsage = {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
};

/** All devices but the loopback; nothing when the process is gone. */
export function readNetworkUsage(pid: number, folder = "/proc"): readonly InterfaceUsage[] {
  let text: string;
  try {
    text = readFileSync(`${folder}/${pid}/net/dev`, "utf8");
  } catch {
    return [];
  }
  return text.split("\n").flatMap((line): InterfaceUsage[] => {
    const [, name = "", rest = ""] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === "" || name === "lo") return [];
    // Eight columns of what came in, eight of what went out.
    const [rxBytes = 0, , rxErrors = 0, , , , , , txBytes = 0, , txErrors = 0] = rest.trim().split(/\s+/).map(Number);
    return [{ name, rxBytes, rxErrors, txBytes, txErrors }];
  });
}
