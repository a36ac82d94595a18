/**
 * Frontends as elements of nftables' sets and maps. The layout has no chain per Service: a few chains shared by all, chosen by the number of endpoints, and maps that say which
 * endpoint is the first, the second, … of a frontend. Ten thousand Services load in a third of a second, and one changes in milliseconds.
 *
 *     services      address . protocol . port : goto pick-N           frontends with N endpoints
 *     pick-N        a random number below N : goto idx-K
 *     idx-K         dnat to what eps-K says for address . protocol . port
 *
 * Node ports have the same with `n` before the names and without the address. Frontends with session affinity go through stick-N-T first: sets aff-K remember which client
 * went to endpoint K in the last T seconds.
 */
import type { Frontend, Target } from "./frontends.ts";

/** One element: of a set when `value` is empty, else of a map. */
export type Element = { readonly set: string; readonly key: string; readonly value: string };

/** The two spaces of names: frontends with an address, and node ports. */
export type Space = "" | "n";

/** A chain that elements lead to: pick-N, or stick-N-T. */
export type Dispatch = { readonly space: Space; readonly count: number; readonly affinitySeconds: number | undefined };

/** Elements of one Service. */
export type ServiceElements = { readonly elements: readonly Element[]; readonly dispatches: readonly Dispatch[] };

/** What the frontends of a Service need in the table. Of frontends at the same place the first counts. */
export function elementsOf(frontends: readonly Frontend[]): ServiceElements {
  const elements = new Map<string, Element>();
  const dispatches: Dispatch[] = [];
  const add = (set: string, key: string, value = "") => {
    const id = `${set} ${key}`;
    if (!elements.has(id)) elements.set(id, { set, key, value });
  };
  for (const frontend of frontends) {
    const { address, protocol, port, targets, affinitySeconds } = frontend;
    const space: Space = address === "node" ? "n" : "";
    const key = space === "n" ? `${protocol} . ${port}` : `${address} . ${protocol} . ${port}`;
    if (targets.length === 0) {
      add(`${space}to-${frontend.whenEmpty}`, key);
      continue;
    }
    const dispatch = { space, count: targets.length, affinitySeconds };
    dispatches.push(dispatch);
    add(`${space}services`, key, `goto ${chainOf(dispatch)}`);
    targets.forEach((target, index) => add(`${space}eps-${index}`, key, `${target.address} . ${target.port}`));
    for (const target of targets) add("hairpin", `${target.address} . ${target.address}`);
    if (frontend.isExternal) addSourceRules(frontend, add);
  }
  return { elements: [...elements.values()], dispatches };
}

function addSourceRules(
  { address, protocol, port, keepsSource }: Frontend,
  add: (set: string, key: string) => void,
): void {
  if (address !== "node") add(keepsSource ? "keep-addresses" : "external-addresses", address);
  else if (keepsSource) add(`keep-${protocol}`, String(port));
}

/** Name of the chain. */
export function chainOf({ space, count, affinitySeconds }: Dispatch): string {
  return affinitySeconds === undefined ? `${space}pick-${count}` : `${space}stick-${count}-${affinitySeconds}`;
}

/** Address and port of an element of an eps map. */
export function parseTarget(value: string): Target {
  const [address = "", port = ""] = value.split(" . ");
  return { address, port: Number(port) };
}
