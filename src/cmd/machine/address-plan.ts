/**
 * Which addresses a cluster has. Each cluster of a machine has a slot K = 1, 2, …; from it follow ranges that no other cluster has:
 * pods 10.(40+2K).0.0/16, a /24 per node; Services 10.(41+2K).0.0/16; and 10.(40+2K).255.0/24 for the machine itself. Who is not root can add no address to the machine: his clusters
 * have the same ranges of 127.0.0.0/8, where every address is there already.
 */

/** Where a cluster stands among those of its machine. */
export type ClusterPlace = {
  /** From 1. */
  readonly slot: number;
  /** Its processes run without root. Default false. */
  readonly isRootless?: boolean | undefined;
};

/** Addresses of one cluster. */
export type AddressPlan = {
  readonly podRange: string;
  readonly serviceRange: string;
  /** ClusterIP of default/kubernetes. */
  readonly kubernetesService: string;
  readonly dnsService: string;
  /** Where the API server listens besides 127.0.0.1. */
  readonly controlPlane: string;
  /** First and last address for Services of type LoadBalancer. */
  readonly loadBalancers: { readonly first: string; readonly last: string };
  /** Loopback address at which node ports answer. */
  readonly nodePortLoopback: string;
};

/** Most clusters a machine can have: 10.42 to 10.255. */
export const maxSlots = 107;

/** Most nodes a cluster can have here: addresses .2 to .127. */
export const maxNodes = 126;

/** The addresses of the cluster in this place. */
export function addressPlan(place: ClusterPlace): AddressPlan {
  const { pods, services } = prefixes(place);
  const { slot } = place;
  return {
    podRange: `${pods}.0.0/16`,
    serviceRange: `${services}.0.0/16`,
    kubernetesService: `${services}.0.1`,
    dnsService: `${services}.0.10`,
    controlPlane: `${pods}.255.1`,
    loadBalancers: { first: `${pods}.255.128`, last: `${pods}.255.254` },
    nodePortLoopback: slot === 1 ? "127.0.0.1" : `127.0.${slot}.1`,
  };
}

function prefixes({ slot, isRootless = false }: ClusterPlace): { readonly pods: string; readonly services: string } {
  const first = isRootless ? 127 : 10;
  return { pods: `${first}.${40 + 2 * slot}`, services: `${first}.${41 + 2 * slot}` };
}

/** Address and pod range of the cluster's node number `index`, from 0. */
export function nodeAddresses(
  place: ClusterPlace,
  index: number,
): { readonly address: string; readonly podCidr: string } {
  const { pods } = prefixes(place);
  return { address: `${pods}.255.${2 + index}`, podCidr: `${pods}.${index}.0/24` };
}

/** Name of node number `index`. The only node of the default cluster is called after the program. */
export function nodeName(cluster: string, nodes: number, index: number): string {
  const base = cluster === "default" ? "nodeless" : cluster;
  return nodes === 1 ? base : `${base}-${index + 1}`;
}

/** The lowest slot that no other cluster has and whose ranges no interface or route of this machine touches. `routes` are CIDRs. */
export function chooseSlot(taken: ReadonlySet<number>, routes: readonly string[]): number | undefined {
  const inUse = new Set(routes.map((route) => /^10\.(\d+)\./.exec(route)?.[1]).filter((octet) => octet !== undefined));
  for (let slot = 1; slot <= maxSlots; slot++) {
    if (!taken.has(slot) && !inUse.has(String(40 + 2 * slot)) && !inUse.has(String(41 + 2 * slot))) return slot;
  }
  return undefined;
}
