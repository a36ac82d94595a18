/**
 * The service proxy's nftables table as text: what never changes, the shared chains as they come to be needed, and changes element by element.
 */
import { chainOf, type Dispatch, type Element, type Space } from "./elements.ts";

/** What the table must know of the node. */
export type TableSettings = {
  /** Its name: one that nobody else in the network namespace uses. */
  readonly table: string;
  /** The node's own address: what packets are made to come from where their source must be rewritten. */
  readonly nodeAddress: string;
  /** Addresses at which node ports answer. Empty: all of the machine's. */
  readonly nodePortAddresses: readonly string[];
  /** Pods of this node, of all nodes, and Services, as CIDRs. */
  readonly podCidr: string;
  readonly podRange: string;
  readonly serviceRange: string;
  /** The machine's address where the node has a network of its own: whoever comes from there to a ClusterIP must be answered by way of this node. */
  readonly machineAddress?: string | undefined;
  /** Addresses in the Service range at which this machine itself answers: cluster DNS. */
  readonly localServiceAddresses: readonly string[];
};

const addressKey = "ipv4_addr . inet_proto . inet_service";
const portKey = "inet_proto . inet_service";
const targetValue = "ipv4_addr . inet_service";

/** The table without elements. Applying it replaces a table that is there, in the same transaction. */
export function skeleton(settings: TableSettings): string {
  const { table, nodeAddress, nodePortAddresses, podCidr, podRange, serviceRange, localServiceAddresses } = settings;
  const { machineAddress } = settings;
  const fromMachine =
    machineAddress === undefined
      ? ""
      : `ip saddr ${machineAddress} ct status dnat ct original ip daddr ${serviceRange} snat to ${nodeAddress}`;
  const toNode = nodePortAddresses.length === 0 ? "fib daddr type local" : "ip daddr @node-addresses";
  const originallyToNode = nodePortAddresses.length === 0 ? "" : "ct original ip daddr @node-addresses";
  const elements = (addresses: readonly string[]) =>
    addresses.length === 0 ? "" : `elements = { ${addresses.join(", ")} }`;
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ${addressKey} : verdict; }
  map nservices { type ${portKey} : verdict; }
  set to-reject { type ${addressKey}; }
  set nto-reject { type ${portKey}; }
  set to-drop { type ${addressKey}; }
  set nto-drop { type ${portKey}; }
  set hairpin { type ipv4_addr . ipv4_addr; }
  set external-addresses { type ipv4_addr; }
  set keep-addresses { type ipv4_addr; }
  set keep-tcp { type inet_service; }
  set keep-udp { type inet_service; }
  set keep-sctp { type inet_service; }
  set node-addresses { type ipv4_addr; ${elements(nodePortAddresses)} }
  set local-services { type ipv4_addr; ${elements(localServiceAddresses)} }
  chain dispatch {
    ip daddr . meta l4proto . th dport vmap @services
    ${toNode} meta l4proto . th dport vmap @nservices
  }
  chain refuse {
    ip daddr . meta l4proto . th dport @to-drop drop
    ip daddr . meta l4proto . th dport @to-reject reject
    ${toNode} meta l4proto . th dport @nto-drop drop
    ${toNode} meta l4proto . th dport @nto-reject reject
    ip daddr ${serviceRange} ip daddr != @local-services reject
  }
  chain martians {
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump dispatch
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump dispatch
  }
  chain input-filter {
    type filter hook input priority 0; policy accept;
    ct state new jump refuse
  }
  chain forward-filter {
    type filter hook forward priority 0; policy accept;
    ct state new jump refuse
  }
  chain output-filter {
    type filter hook output priority 0; policy accept;
    ct state new jump refuse
  }
  chain external {
    ct original ip daddr @keep-addresses accept
    ct original ip daddr @external-addresses snat to ${nodeAddress}
    meta l4proto tcp ct original proto-dst @keep-tcp accept
    meta l4proto udp ct original proto-dst @keep-udp accept
    meta l4proto sctp ct original proto-dst @keep-sctp accept
    ${originallyToNode} snat to ${nodeAddress}
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 127.0.0.0/8 ct status dnat snat to ${nodeAddress}
    ip saddr . ip daddr @hairpin ct status dnat snat to ${nodeAddress}
    ${fromMachine}
    ct status dnat ct original ip daddr != ${serviceRange} jump external
    ip saddr ${podCidr} ip daddr != { ${podRange}, ${serviceRange} } masquerade
  }
}
`;
}

/** Makes the shared chains and maps as dispatches ask for them, each once. */
export class SharedChains {
  readonly #table: string;
  readonly #known = new Set<string>();

  constructor(table: string) {
    this.#table = table;
  }

  /** The lines that make what is missing for this dispatch; empty when all is there. */
  ensure(dispatch: Dispatch): string {
    const name = chainOf(dispatch);
    if (this.#known.has(name)) return "";
    this.#known.add(name);
    const indexes = Array.from({ length: dispatch.count }, (_, index) => index);
    const leaves = indexes.map((index) => this.#ensureLeaf(dispatch, index)).join("");
    const choice = `numgen random mod ${dispatch.count} vmap { ${indexes.map((index) => `${index} : goto ${leafOf(dispatch, index)}`).join(", ")} }`;
    const remembered = indexes.map(
      (index) => `${rememberedClient(dispatch.space)} @${dispatch.space}aff-${index} goto ${leafOf(dispatch, index)}`,
    );
    const rules = dispatch.affinitySeconds === undefined ? [choice] : [...remembered, choice];
    return `${leaves}${this.#chain(name, rules)}`;
  }

  #ensureLeaf(dispatch: Dispatch, index: number): string {
    const { space, affinitySeconds } = dispatch;
    const name = leafOf(dispatch, index);
    if (this.#known.has(name)) return "";
    this.#known.add(name);
    const [key, match] =
      space === "n" ? [portKey, "meta l4proto . th dport"] : [addressKey, "ip daddr . meta l4proto . th dport"];
    const map = this.#once(
      `${space}eps-${index}`,
      `add map ip ${this.#table} ${space}eps-${index} { type ${key} : ${targetValue}; }\n`,
    );
    const translate = `dnat ip to ${match} map @${space}eps-${index}`;
    if (affinitySeconds === undefined) return `${map}${this.#chain(name, [translate])}`;
    const set = `${space}aff-${index}`;
    const sets = this.#once(
      set,
      `add set ip ${this.#table} ${set} { type ipv4_addr . ${key}; flags dynamic,timeout; size 65536; }\n`,
    );
    const remember = `update @${set} { ${rememberedClient(space)} timeout ${affinitySeconds}s }`;
    return `${map}${sets}${this.#chain(name, [remember, translate])}`;
  }

  #once(name: string, line: string): string {
    if (this.#known.has(name)) return "";
    this.#known.add(name);
    return line;
  }

  #chain(name: string, rules: readonly string[]): string {
    return [
      `add chain ip ${this.#table} ${name}`,
      ...rules.map((rule) => `add rule ip ${this.#table} ${name} ${rule}`),
      "",
    ].join("\n");
  }
}

function rememberedClient(space: Space): string {
  return space === "n" ? "ip saddr . meta l4proto . th dport" : "ip saddr . ip daddr . meta l4proto . th dport";
}

function leafOf({ space, affinitySeconds }: Dispatch, index: number): string {
  return affinitySeconds === undefined ? `${space}idx-${index}` : `${space}sidx-${index}-${affinitySeconds}`;
}

/** Lines that add or delete elements, many to a line. */
export function elementLines(verb: "add" | "delete", table: string, elements: readonly Element[]): string {
  const bySet = Map.groupBy(elements, ({ set }) => set);
  const lines = [...bySet].map(([set, members]) => {
    const list = members
      .map(({ key, value }) => (verb === "add" && value !== "" ? `${key} : ${value}` : key))
      .join(", ");
    return `${verb} element ip ${table} ${set} { ${list} }\n`;
  });
  return lines.join("");
}
