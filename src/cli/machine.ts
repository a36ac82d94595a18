/**
 * What commands ask of the machine they run on: bringing clusters up and down, images, and what the machine can do. cmd/ hands an implementation in.
 */
import type { Transport } from "#client/transport.ts";
import type { FunctionTools } from "./functions/function-tools.ts";
import type { Terminal } from "./terminal.ts";

/** How a cluster is wanted. Absent fields keep what an existing cluster has, or take the default. */
export type UpOptions = {
  readonly name: string;
  readonly dataFolder?: string;
  readonly nodes?: number;
  readonly apiPort?: number;
  readonly kubeconfig?: string;
  readonly foreground: boolean;
  /** Also install a systemd unit that brings the cluster up at boot. */
  readonly boot: boolean;
  /** Listen on all of the machine's addresses, not only on loopback and the cluster's own. */
  readonly expose?: boolean;
  /** Run Knative Serving. */
  readonly serving?: boolean;
  /** With Knative Eventing. */
  readonly eventing?: boolean;
  /** How long to wait until all is ready, in seconds. */
  readonly timeoutSeconds: number;
};

/** One process of a cluster. */
export type ProcessStatus = {
  readonly role: "control-plane" | "node" | "eventing";
  readonly name: string;
  readonly pid: number | undefined;
  readonly isReady: boolean;
  /** It is there and does not answer. */
  readonly isSilent: boolean;
  /** Where a node takes HTTP requests, for Ingresses and Knative Services. Absent while it takes none. */
  readonly listening?: readonly RequestPlace[];
};

/** An address at which requests are taken, and its ports. */
export type RequestPlace = { readonly address: string; readonly httpPort?: number; readonly httpsPort?: number };

/** A cluster as it is now. Also the JSON of `nodeless status -o json`. */
export type ClusterStatus = {
  readonly name: string;
  readonly isRunning: boolean;
  readonly isReady: boolean;
  /** Whether it has Knative Serving and Functions. */
  readonly hasServing: boolean;
  readonly version: string;
  readonly kubernetesVersion: string;
  readonly context: string;
  readonly kubeconfig: string;
  readonly dataFolder: string;
  readonly apiServer: string;
  readonly ports: { readonly api: number };
  /** Where images can be pushed to: "127.0.0.1:5000". Absent before the cluster first ran. */
  readonly registry?: string;
  readonly addresses: {
    readonly controlPlane: string;
    readonly nodePorts: string;
    readonly podRange: string;
    readonly serviceRange: string;
  };
  readonly processes: readonly ProcessStatus[];
};

/** A cluster of which only its folder is known. */
export type BrokenCluster = {
  readonly name: string;
  readonly dataFolder: string;
  /** Why, and what to do. */
  readonly trouble: string;
};

/** One fact about this machine. */
export type Finding = {
  readonly topic: string;
  readonly state: "ok" | "limited" | "missing";
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
};

/** An image in the machine's store. */
export type ImageSummary = { readonly names: readonly string[]; readonly id: string; readonly sizeBytes: number };

/** What became of a machine's images: names, or ids of images that have none. */
export type ImageRemoval = {
  readonly removed: readonly string[];
  /** A container holds them. */
  readonly kept: readonly string[];
  /** Repositories of the machine's registry that went. */
  readonly repositories: readonly string[];
  /** Repositories that stay: clusters that there are may need them. */
  readonly keptRepositories: readonly string[];
  /** A build is under way, and what builds keep stays. */
  readonly isBuilding: boolean;
};

/** A folder that is to become an image. */
export type ImageBuildRequest = {
  readonly folder: string;
  readonly tag: string;
  /** The Dockerfile's path in the folder. */
  readonly file?: string;
  readonly target?: string;
  readonly buildArgs: Readonly<Record<string, string>>;
};

/** A command to run in a pod. */
export type ExecRequest = {
  readonly namespace: string;
  readonly pod: string;
  readonly container?: string;
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
};

/** Clusters on this machine. Every method throws UserError for what the user can put right. */
export interface Machine {
  /** Of nodeless, and of the Kubernetes whose API is served. */
  readonly versions: { readonly nodeless: string; readonly kubernetes: string };
  /** What `nodeless fn` needs. */
  readonly functions: FunctionTools;
  /** Starts the cluster, making it when it is new. `alreadyRunning` when there was nothing to do. */
  up(
    options: UpOptions,
    terminal: Terminal,
  ): Promise<{ readonly status: ClusterStatus; readonly alreadyRunning: boolean; readonly notes: readonly string[] }>;
  /** Waits until the user interrupts or the cluster ends; an interrupt takes the cluster down. */
  stayUntilStopped(name: string, terminal: Terminal): Promise<void>;
  /** Stops the cluster's processes and containers; its objects and data stay. "deleted": another command did that meanwhile. */
  down(name: string, terminal: Terminal): Promise<"stopped" | "idle" | "deleted">;
  /** How the cluster is. */
  status(name: string): Promise<ClusterStatus>;
  /** All clusters of this machine. */
  list(): Promise<readonly (ClusterStatus | BrokenCluster)[]>;
  /** Whether the cluster has had objects. */
  hasData(name: string): boolean;
  /** Empties the cluster and keeps its settings; runs again afterwards if it ran before. */
  reset(name: string, terminal: Terminal): Promise<void>;
  /** Removes the cluster and everything of it. */
  delete(name: string, terminal: Terminal): Promise<void>;
  /** Loads images from an OCI layout (folder or archive) or a docker archive; `tag` names an image that has no name. Gives their names. */
  loadImage(path: string, tag: string | undefined): Promise<readonly string[]>;
  /** Builds a folder with a Dockerfile, or a bundle. `onLine` hears what the build says. Gives the image's digest, and where else it is now: the cluster's registry. */
  buildImage(
    request: ImageBuildRequest,
    onLine: (line: string) => void,
  ): Promise<{ readonly digest: string; readonly name: string; readonly isPublished: boolean }>;
  /** All images. */
  listImages(): Promise<readonly ImageSummary[]>;
  /** Gives an image another name beside those that it has; the image that had the name loses it. Gives the name in full. */
  tagImage(reference: string, name: string): Promise<string>;
  /** Puts an image into a registry under the name `target`: the machine's own, or any other. Gives the name in full, and the digest. */
  pushImage(reference: string, target: string): Promise<{ readonly name: string; readonly digest: string }>;
  /** Removes an image. */
  removeImage(reference: string): Promise<void>;
  /** Removes all images but those that containers hold, what the registry has that no cluster needs, and what builds keep. */
  removeAllImages(): Promise<ImageRemoval>;
  /** What this machine can do, what is missing, and how to get it. */
  doctor(): Promise<readonly Finding[]>;
  /** The way to a cluster's API server, as its administrator. `onWarning` hears what the server wants people to know. */
  connect(name: string, onWarning?: (text: string) => void): Promise<Transport>;
  /** The body of a GET that is not JSON, as it comes: a pod's log. `path` includes the query. Throws StatusError. */
  readStream(name: string, path: string): Promise<AsyncIterable<Uint8Array>>;
  /** Runs a command in a container with this process's streams. Gives its exit code. */
  exec(name: string, request: ExecRequest): Promise<number>;
}
