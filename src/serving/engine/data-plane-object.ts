/**
 * A node's data plane as an API object: where it takes requests, and what it has seen in the last second. The node writes it, the autoscaler reads it; so neither calls the other, and a report needs no connection of its own.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { dataPlaneGroup } from "#serving/names.ts";
import type { ColdStart } from "#serving/data-plane.ts";

export const dataPlanes: GroupVersionResource = { group: dataPlaneGroup, version: "v1alpha1", resource: "dataplanes" };

/** What was seen of one revision in about one second. */
export type RevisionReport = {
  readonly namespace: string;
  readonly name: string;
  /** Requests at once, on average, held ones included. */
  readonly concurrency: number;
  /** Requests that came. */
  readonly requests: number;
  /** Requests that wait for a pod, or for a place in one, now. */
  readonly queued?: number;
};

/** What a node's data plane saw. */
export type DataPlaneStatus = {
  /** When it was written, with microseconds. */
  readonly reportTime?: string;
  /** Those with requests or with pods. */
  readonly revisions?: readonly RevisionReport[];
  /** The last few, of whichever revision, oldest first. */
  readonly coldStarts?: readonly ColdStart[];
};

/** Named after its node. */
export type DataPlaneObject = KubeObject & {
  readonly spec?: {
    readonly addresses?: readonly string[];
    readonly httpPort?: number;
    /** Where other nodes' data planes bring requests for the pods of this node. Absent where there is no other node. */
    readonly peer?: { readonly address: string; readonly port: number };
  };
  readonly status?: DataPlaneStatus;
};
