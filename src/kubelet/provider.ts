/**
 * The provider contract: a place that can run whole pods. Clouds, other clusters and the fake implement it directly; places that run single containers implement
 * the ContainerRuntime of container-runtime.ts instead, which `pod-engine.ts` lifts to this contract. Modelled on virtual-kubelet's
 * PodLifecycleHandler, with status pushed. Every implementation passes `providerSuite` in provider-suite.ts.
 */
import type { Duplex } from "node:stream";
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";

/** Names a pod for good: a new pod of the same name has another uid. */
export type PodRef = { readonly namespace: string; readonly name: string; readonly uid: string };

/** Where output goes to and input comes from. Streams end when the command ends. */
export type ProcessStreams = {
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly stdout?: (chunk: Uint8Array) => Promise<void> | void;
  readonly stderr?: (chunk: Uint8Array) => Promise<void> | void;
  /** With a terminal, stdout carries all output. */
  readonly tty: boolean;
  /** New sizes of the terminal, as the client's window changes. */
  readonly resize?: AsyncIterable<{ readonly columns: number; readonly rows: number }>;
};

/** As PodLogOptions. `sinceTimeMs` is in ms since 1970. */
export type LogOptions = {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly sinceTimeMs?: number;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Default "All". */
  readonly stream?: "All" | "Stdout" | "Stderr";
};

/** A pod that the provider runs, and how it is. */
export type ProviderPod = { readonly ref: PodRef; readonly pod: Pod; readonly status: PodStatus };

/** A place that can run pods. */
export interface PodProvider {
  /** Starts the pod. Called again after a crash of the agent: a pod that runs already is success. Resolves when accepted, not when running; progress comes by onStatus. */
  createPod(pod: Pod, signal: AbortSignal): Promise<void>;
  /** The pod's spec or metadata changed (images, ephemeral containers, resources, labels, …). Unknown pods are created. */
  updatePod(pod: Pod, signal: AbortSignal): Promise<void>;
  /** Stops within `gracePeriodSeconds` and removes everything of the pod. Unknown is success. Called again with a shorter grace, the shorter counts. Resolves when gone; the final status came before. */
  deletePod(ref: PodRef, gracePeriodSeconds: number, signal: AbortSignal): Promise<void>;
  /** All pods that run here, the ones of before a restart of the agent included. */
  listPods(): Promise<readonly ProviderPod[]>;
  /** Registers the one listener for status changes. It must not be called re-entrantly and may not be slow. */
  onStatus(listener: (ref: PodRef, status: PodStatus) => void): void;
}

/** Extra: logs and processes in containers. Throws NotFound and BadRequest StatusErrors with kubelet's messages. */
export interface PodStreams {
  /** The container's log, in pieces. With follow until the container ends or the signal aborts. */
  logs(ref: PodRef, container: string, options: LogOptions, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Runs a command in a container. Gives its exit code. Aborting kills it. */
  exec(
    ref: PodRef,
    container: string,
    command: readonly string[],
    streams: ProcessStreams,
    signal: AbortSignal,
  ): Promise<number>;
  /** Joins the streams of the container's main process until it ends or the signal aborts. */
  attach(ref: PodRef, container: string, streams: ProcessStreams, signal: AbortSignal): Promise<void>;
  /** Opens a TCP connection to the pod's own 127.0.0.1. Throws when nothing listens. */
  portForward(ref: PodRef, port: number, signal: AbortSignal): Promise<Duplex>;
}

/** CPU and memory used. `cpuUsageNanoseconds` counts up from the start. */
export type ContainerUsage = {
  readonly name: string;
  readonly startTimeMs: number;
  readonly cpuUsageNanoseconds: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryUsageBytes: number;
};

/** What went through a network device of a pod, counted from its start. */
export type InterfaceUsage = {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
};

/** Usage of one pod's running containers; `network` where it is known and the pod has devices of its own. */
export type PodUsage = {
  readonly ref: PodRef;
  readonly containers: readonly ContainerUsage[];
  readonly network?: readonly InterfaceUsage[];
};

/** Extra: what pods use. */
export interface PodStats {
  /** Usage of all running pods now. */
  podUsage(): Promise<readonly PodUsage[]>;
}

/** What a pod has written to the node's disk, in bytes; what lies in memory is not counted. */
export type PodDiskUsage = {
  readonly ref: PodRef;
  /** emptyDir volumes, by name. */
  readonly volumes: ReadonlyMap<string, number>;
  readonly containers: readonly { readonly name: string; readonly logBytes: number; readonly rootBytes: number }[];
};

/** Extra: what pods have written to the node's disk. */
export interface PodDisk {
  /** Looks at all files of these pods: not cheap. Unknown pods are left out. */
  podDisk(refs: readonly PodRef[]): Promise<readonly PodDiskUsage[]>;
}
