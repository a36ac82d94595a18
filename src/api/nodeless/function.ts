/**
 * The kind Function (nodeless.dev) as all see it who write or read one: its controller, commands, push to deploy. The API server knows it by its CustomResourceDefinition; everything optional there
 * is optional here.
 */
import type { EnvFromSource, EnvVar, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { FunctionRuntime } from "./function-runtime.ts";

export const functions: GroupVersionResource = { group: "nodeless.dev", version: "v1alpha1", resource: "functions" };

/** Beside the code: a Function without a source. */
export const functionFile = "function.yaml";

/** Said of a file that {@link functionIn} finds none in, after its name. */
export const isNoFunction = "is no Function: it wants apiVersion nodeless.dev/v1alpha1 and kind Function";

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
  readonly runtime?: FunctionRuntime;
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

/** As Knative's: absent severity means that it counts towards Ready. */
export type FunctionCondition = {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly severity?: string;
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
};

export type FunctionStatus = {
  readonly observedGeneration?: number;
  readonly conditions?: readonly FunctionCondition[];
  readonly url?: string;
  /** Where it answers within the cluster: by it, events find their way to a function. */
  readonly address?: {
    readonly name?: string;
    readonly url?: string;
    readonly CACerts?: string;
    readonly audience?: string;
  };
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

/** The condition of a type. */
export function conditionOf({ status }: FunctionObject, type: string): FunctionCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** The Function that the documents of a function.yaml are; undefined when they are something else. Its spec is for the API server to judge. */
export function functionIn(documents: readonly unknown[]): FunctionObject | undefined {
  const [found, ...more] = documents as readonly (FunctionObject | null | undefined)[];
  return found?.kind === "Function" && more.length === 0 ? found : undefined;
}

/** Name of the ConfigMap with a function's build log, under the key `log`. */
export function buildLogName(functionName: string): string {
  return `${functionName}-build`.slice(-253);
}
