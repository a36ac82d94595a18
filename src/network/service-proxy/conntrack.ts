/**
 * UDP has no end of a connection, so the kernel goes on sending a client's packets to where the first one went. When a UDP endpoint goes, or the first one comes to a frontend that had
 * none, those flows must be forgotten.
 */
import { execFile } from "node:child_process";
import { type Element, parseTarget } from "./elements.ts";

/** Flows to forget: of a frontend, all or those that went to one endpoint. */
export type StaleFlow = {
  readonly address: string | undefined;
  readonly port: number;
  readonly target: string | undefined;
};

/** Which flows a change of a Service's elements makes stale. */
export function staleFlows(before: readonly Element[], after: readonly Element[]): readonly StaleFlow[] {
  const left = targetsByFrontend(after);
  const flows: StaleFlow[] = [];
  for (const [key, targets] of targetsByFrontend(before)) {
    for (const target of targets)
      if (!left.get(key)?.has(target)) flows.push({ ...placeOf(key), target: parseTarget(target).address });
  }
  const refused = new Set(before.filter(({ set }) => /^n?to-(reject|drop)$/.test(set)).map(({ key }) => key));
  for (const key of left.keys()) if (refused.has(key)) flows.push({ ...placeOf(key), target: undefined });
  return flows;
}

function targetsByFrontend(elements: readonly Element[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const { set, key, value } of elements) {
    if (!/^n?eps-/.test(set) || !key.includes("udp")) continue;
    found.set(key, (found.get(key) ?? new Set()).add(value));
  }
  return found;
}

/** "10.43.0.7 . udp . 53", or "udp . 30053" for a node port. */
function placeOf(key: string): { readonly address: string | undefined; readonly port: number } {
  const parts = key.split(" . ");
  return { address: parts.length === 3 ? parts[0] : undefined, port: Number(parts.at(-1)) };
}

/** Forgets flows with the `conntrack` program, one call each; flows that are not there are success. */
export async function forgetFlows(flows: readonly StaleFlow[]): Promise<void> {
  for (const { address, port, target } of flows) {
    const args = ["-D", "-p", "udp", "--dport", String(port)];
    if (address !== undefined) args.push("--orig-dst", address);
    if (target !== undefined) args.push("--dst-nat", target);
    // conntrack exits with 1 when nothing matched, and where it is missing flows end by themselves after 30 s.
    await new Promise<void>((resolve) => execFile("conntrack", args, () => resolve()));
  }
}
