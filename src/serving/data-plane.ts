/**
 * What Serving and a data plane have to say to each other beyond API objects. A data plane is whoever takes requests on a node: it reads Ingresses (which host leads to which
 * revisions), Revisions (limits and timeouts) and EndpointSlices (where pods are) by itself, so that warm requests never wait for the control plane.
 */

/** A revision, as data planes and the autoscaler name it. */
export type RevisionKey = { readonly namespace: string; readonly name: string };

/**
 * What one reporter saw of a revision in about one second. Sums over reporters are what the autoscaler goes by. A reporter goes on with zeroes as long as the revision has ready
 * pods: without reports nothing is decided.
 */
export type RevisionStat = {
  readonly revision: RevisionKey;
  /** Who reports: a node's name. */
  readonly reporter: string;
  /** When the second ended, in milliseconds since 1970. */
  readonly atMs: number;
  /** Requests at once, averaged over the second. Requests that are held count. */
  readonly averageConcurrentRequests: number;
  /** Requests that came in the second. */
  readonly requestCount: number;
};

/** Takes statistics. Implemented by the autoscaler; called by whoever brings them from the nodes. */
export interface StatSink {
  /** Records one report. Never throws. A revision at zero that has requests is decided on at once. Revisions unknown are ignored. */
  record(stat: RevisionStat): void;
}

/** What a cold start's time goes into, in order. */
export type ColdStartPart = "decision" | "schedule" | "start" | "ready" | "firstByte";

/**
 * One cold start. Milliseconds: `decision` until there is a pod object, `schedule` until it has a node, `start` until its program runs at an address, `ready` until its port takes requests, `firstByte` until the program
 * has answered.
 */
export type ColdStart = {
  readonly namespace: string;
  readonly name: string;
  /** When the first request began to wait, ISO 8601 with milliseconds. */
  readonly time: string;
  readonly totalMs: number;
} & { readonly [part in `${ColdStartPart}Ms`]: number };

/** Takes what nodes measured. */
export interface ColdStartSink {
  /** Records one. Told of the same one twice, it counts it once. */
  recordColdStart(reporter: string, start: ColdStart): void;
}

/** What Serving must know of the data planes of a cluster. Filled by whoever joins them. */
export interface DataPlane {
  /** Addresses under which pods reach it, for Services of routes and of revisions at zero. Empty: there is none, and routes stay not ready. */
  addresses(): readonly string[];
  /** Port at those addresses where cleartext HTTP is taken. */
  readonly httpPort: number;
  /** Calls back when addresses have changed; gives what ends that. */
  onChange(listener: () => void): () => void;
}

/** A cluster without a data plane: objects are made, requests are not taken, and routes say so. */
export const noDataPlane: DataPlane = {
  addresses: () => [],
  httpPort: 80,
  onChange: () => () => {},
};
