/**
 * The kind Function as TypeScript sees it, and what this part knows of Knative's Service. The API server knows a Function by its CustomResourceDefinition (`crds/`); everything optional there is optional here.
 */
import type { EnvFromSource, EnvVar, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Addressable, Condition } from "#knative/duck.ts";

/** Our own group. */
export const functionsGroup = "nodeless.dev";

export const functions: GroupVersionResource = { group: functionsGroup, version: "v1alpha1", resource: "functions" };
export const knativeServices: GroupVersionResource = {
  group: "serving.knative.dev",
  version: "v1",
  resource: "services",
};
export const configMaps: GroupVersionResource = { group: "", version: "v1", resource: "configmaps" };

/** Where a function's code runs: in a V8 isolate, in a container of Node or Python, or in what a Dockerfile makes. */
export type Runtime = "isolate" | "node" | "python" | "container";

/** Where the source is. Exactly one field is given. */
export type FunctionSource = {
  /** Files by their path: "index.ts". */
  readonly inline?: { readonly files?: Readonly<Record<string, string>> };
  /** A repository that `git` can clone, a branch, tag or commit, and a folder in it. */
  readonly git?: { readonly url?: string; readonly revision?: string; readonly path?: string };
  /** A folder packed as an OCI artifact; what `nodeless fn deploy` pushes. */
  readonly artifact?: { readonly reference?: string };
  /** Built already: nothing is built. */
  readonly image?: string;
};

/** A share of the traffic, in Knative's words. Without a revision: the latest. */
export type FunctionTraffic = {
  readonly revisionName?: string;
  readonly latestRevision?: boolean;
  readonly percent?: number;
  readonly tag?: string;
};

/** How many instances there may be, and how they follow the load. */
export type FunctionScale = {
  readonly min?: number;
  readonly max?: number;
  readonly initial?: number;
  /** Requests under way in one instance that the autoscaler aims at. */
  readonly target?: number;
  /** Over how long load is averaged, and how long silence lasts before zero: "6s" to "1h". */
  readonly window?: string;
};

export type FunctionSpec = {
  readonly runtime?: Runtime;
  /** The file with the handler, relative to the source's root; for Python FILE:NAME. */
  readonly entrypoint?: string;
  readonly source?: FunctionSource;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly EnvFromSource[];
  /** Secrets whose keys become environment variables. */
  readonly secrets?: readonly string[];
  readonly resources?: ResourceRequirements;
  /** How long an answer may take. */
  readonly timeoutSeconds?: number;
  /** Most requests at once in one instance; 0: no bound. */
  readonly concurrency?: number;
  readonly scale?: FunctionScale;
  readonly network?: {
    /** What the code may connect to. Absent: everything. `allow`: "public", "private" (networks, for raw sockets too), hosts, "*.example.com"; none: nothing. */
    readonly outbound?: { readonly allow?: readonly string[] };
  };
  readonly serviceAccountName?: string;
  readonly traffic?: readonly FunctionTraffic[];
};

/** The newest build that has ended. */
export type BuildStatus = {
  /** Of all that decides over the image; the same inputs are not built twice. */
  readonly inputHash?: string;
  /** What a Git revision was when it was built. */
  readonly commit?: string;
};

export type FunctionStatus = {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly url?: string;
  /** Where it answers within the cluster: by it, events find their way to a function. */
  readonly address?: Addressable;
  /** The newest image that was built, by its digest. */
  readonly image?: string;
  readonly build?: BuildStatus;
  /** The ConfigMap with the newest build's output, key `log`. */
  readonly buildLog?: { readonly configMapName?: string };
  readonly latestCreatedRevisionName?: string;
  readonly latestReadyRevisionName?: string;
};

/** Code with an address. */
export type FunctionObject = KubeObject & { readonly spec?: FunctionSpec; readonly status?: FunctionStatus };

/** What is read and written of a Knative Service. */
export type KnativeService = KubeObject & {
  readonly spec?: {
    readonly template?: {
      readonly metadata?: {
        readonly labels?: Readonly<Record<string, string>>;
        readonly annotations?: Readonly<Record<string, string>>;
      };
      readonly spec?: object;
    };
    readonly traffic?: readonly FunctionTraffic[];
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly url?: string;
    readonly address?: Addressable;
    readonly latestCreatedRevisionName?: string;
    readonly latestReadyRevisionName?: string;
  };
};
