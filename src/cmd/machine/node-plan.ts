/**
 * What is particular to one node of a cluster: its addresses, names in the kernel, folders.
 */
import type { NodeNetworkSettings } from "#network/node-network.ts";
import type { TableSettings } from "#network/service-proxy/table.ts";
import type { NodeNamespaceOptions } from "#runtime/node-namespaces.ts";
import { addressPlan, nodeAddresses, nodeName } from "./address-plan.ts";
import type { Cluster } from "./clusters.ts";
import { clusterCgroup, serviceTableName } from "./kernel-names.ts";
import { nodeLayout, type NodeLayout } from "./layout.ts";

/** Where the programs are that a node starts. */
export const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/podman";

/** One node. */
export type NodePlan = {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly podCidr: string;
  readonly layout: NodeLayout;
  /** Begins the names of its pods' links on the machine. */
  readonly linkPrefix: string;
  /** Its own link to the machine, when it has a network namespace of its own. */
  readonly linkName: string | undefined;
  readonly cgroupParent: string;
  readonly namespaces: NodeNamespaceOptions;
  readonly network: NodeNetworkSettings;
  readonly serviceTable: TableSettings;
};

/** The plan of node number `index`. */
export function nodePlan({ record, layout }: Cluster, index: number): NodePlan {
  const name = nodeName(record.name, record.nodes, index);
  const { address, podCidr } = nodeAddresses(record, index);
  const plan = addressPlan(record);
  const ownNetwork = record.nodes > 1;
  const folders = nodeLayout(layout, name);
  const linkName = ownNetwork ? `nl${record.slot}n${index}` : undefined;
  const loopback = ownNetwork ? "127.0.0.1" : plan.nodePortLoopback;
  return {
    name,
    index,
    address,
    podCidr,
    layout: folders,
    linkPrefix: `nl${record.slot}p`,
    linkName,
    cgroupParent: `${clusterCgroup(record)}/${name}`,
    namespaces: {
      runFolder: folders.run,
      searchPath,
      ...(linkName === undefined
        ? {}
        : {
            ownNetwork: {
              linkName,
              nodeAddress: address,
              podCidr,
              // Without these ways what is meant for a Service would leave the machine, to be answered by whoever is there.
              moreRanges: index === 0 ? [plan.serviceRange, loadBalancerRange(plan.loadBalancers.first)] : [],
              machineAddress: plan.controlPlane,
            },
          }),
    },
    network: { addresses: [address], localRanges: [plan.serviceRange, loadBalancerRange(plan.loadBalancers.first)] },
    serviceTable: {
      table: serviceTableName(record),
      nodeAddress: address,
      nodePortAddresses: record.isExposed ? [] : [address, loopback],
      podCidr,
      podRange: plan.podRange,
      serviceRange: plan.serviceRange,
      localServiceAddresses: [plan.dnsService],
      machineAddress: linkName === undefined ? undefined : plan.controlPlane,
    },
  };
}

/** The upper half of the /24 that is the machine's. */
function loadBalancerRange(first: string): string {
  return `${first}/25`;
}

/** All nodes of a cluster. */
export function nodePlans(cluster: Cluster): readonly NodePlan[] {
  return Array.from({ length: cluster.record.nodes }, (_, index) => nodePlan(cluster, index));
}
