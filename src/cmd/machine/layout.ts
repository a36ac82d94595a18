/**
 * Where things of a cluster are on disk: data that must stay, and run files that a reboot makes void.
 */
import { join } from "node:path";

/** Files and folders of one cluster. */
export type ClusterLayout = {
  readonly name: string;
  /** Shared by all clusters of the machine. */
  readonly dataRoot: string;
  readonly images: string;
  readonly folder: string;
  readonly pki: string;
  readonly store: string;
  readonly logs: string;
  readonly run: string;
};

/** Files and folders of one node. */
export type NodeLayout = { readonly data: string; readonly run: string; readonly socket: string; readonly log: string };

/** `runRoot` is /run/nodeless for root. */
export function clusterLayout(name: string, folder: string, dataRoot: string, runRoot: string): ClusterLayout {
  return {
    name,
    dataRoot,
    images: join(dataRoot, "images"),
    folder,
    pki: join(folder, "pki"),
    store: join(folder, "store"),
    logs: join(folder, "logs"),
    run: join(runRoot, name),
  };
}

/** The layout of node `node`. */
export function nodeLayout(layout: ClusterLayout, node: string): NodeLayout {
  return {
    data: join(layout.folder, "nodes", node),
    run: join(layout.run, "nodes", node),
    socket: join(layout.run, `node-${node}.sock`),
    log: join(layout.logs, `node-${node}.log`),
  };
}

/** Files and folders of the process that keeps and delivers events. */
export type EventingLayout = {
  /** Events, places, and the last topology. There is one once there was an object of Knative Eventing's. */
  readonly data: string;
  readonly socket: string;
  readonly log: string;
  /** Names the socket that takes events while the process is away. */
  readonly listener: string;
};

/** The layout of a cluster's eventing. */
export function eventingLayout(layout: ClusterLayout): EventingLayout {
  return {
    data: join(layout.folder, "eventing"),
    socket: join(layout.run, "eventing.sock"),
    log: join(layout.logs, "eventing.log"),
    listener: join(layout.run, "eventing"),
  };
}

/** Where the control plane listens for its peers. */
export function controlPlaneSocket(layout: ClusterLayout): string {
  return join(layout.run, "control-plane.sock");
}

/** The same for isolates that share processes. */
export function packFolders(node: NodeLayout): { readonly stateFolder: string; readonly runFolder: string } {
  return { stateFolder: join(node.data, "packs"), runFolder: join(node.run, "p") };
}

/** Where a node's isolates keep their state, apart from its containers. */
export function isolateFolders(node: NodeLayout): { readonly stateFolder: string; readonly runFolder: string } {
  return { stateFolder: join(node.data, "isolates"), runFolder: join(node.run, "i") };
}
