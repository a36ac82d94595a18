/**
 * Sources as TypeScript sees them: Knative's own (sources.knative.dev/v1), and two of ours, for objects in folders and buckets and for pushes. The API server knows them by their CustomResourceDefinitions (`crds/`); everything optional there is
 * optional here.
 */
import type { PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import type { LabelSelector } from "#api/generated/types/meta-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { SubscriptionsFilter } from "#eventing/filters/filter-spec.ts";
import type { AuthStatus } from "#eventing/kinds.ts";
import type { Destination } from "#knative/destination.ts";
import type { DuckStatus } from "#knative/duck.ts";

/** Knative's group of sources. */
export const sourcesGroup = "sources.knative.dev";
/** Our own group. */
export const nodelessGroup = "nodeless.dev";

export const pingSources: GroupVersionResource = { group: sourcesGroup, version: "v1", resource: "pingsources" };
export const apiServerSources: GroupVersionResource = {
  group: sourcesGroup,
  version: "v1",
  resource: "apiserversources",
};
export const containerSources: GroupVersionResource = {
  group: sourcesGroup,
  version: "v1",
  resource: "containersources",
};
export const sinkBindings: GroupVersionResource = { group: sourcesGroup, version: "v1", resource: "sinkbindings" };
export const objectSources: GroupVersionResource = {
  group: nodelessGroup,
  version: "v1alpha1",
  resource: "objectsources",
};
export const gitSources: GroupVersionResource = { group: nodelessGroup, version: "v1alpha1", resource: "gitsources" };

/** Attributes that are put on every event of a source, over what it would have. */
export type CloudEventOverrides = { readonly extensions?: Readonly<Record<string, string>> };

/** What every source has: where its events go. */
export type SourceSpec = { readonly sink?: Destination; readonly ceOverrides?: CloudEventOverrides };

/** A kind of events that a source gives. */
export type CloudEventAttributes = { readonly type: string; readonly source: string };

/** What every source's status has: the sink as it was found. */
export type SourceStatus = DuckStatus & {
  readonly sinkUri?: string;
  readonly sinkCACerts?: string;
  readonly sinkAudience?: string;
  readonly auth?: AuthStatus;
  readonly ceAttributes?: readonly CloudEventAttributes[];
};

/** Any source. */
export type Source = KubeObject & { readonly spec?: SourceSpec; readonly status?: SourceStatus };

export type PingSourceSpec = SourceSpec & {
  readonly schedule?: string;
  /** Absent: this machine's. */
  readonly timezone?: string;
  readonly contentType?: string;
  readonly data?: string;
  readonly dataBase64?: string;
};

/** Sends an event by the clock. */
export type PingSource = KubeObject & { readonly spec?: PingSourceSpec; readonly status?: SourceStatus };

export type ResourceSelector = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly selector?: LabelSelector;
};

export type ApiServerSourceSpec = SourceSpec & {
  readonly resources?: readonly ResourceSelector[];
  /** Only what is controlled by an object of this kind. */
  readonly owner?: { readonly apiVersion?: string; readonly kind?: string };
  readonly mode?: "Reference" | "Resource";
  readonly serviceAccountName?: string;
  /** Absent: the source's own namespace. Empty: all. */
  readonly namespaceSelector?: LabelSelector;
  readonly filters?: readonly SubscriptionsFilter[];
};

/** Sends an event for each change of objects in the cluster. */
export type ApiServerSource = KubeObject & {
  readonly spec?: ApiServerSourceSpec;
  readonly status?: SourceStatus & { readonly namespaces?: readonly string[] };
};

/** Containers of the user's own that send events to the address in K_SINK. */
export type ContainerSource = KubeObject & {
  readonly spec?: SourceSpec & { readonly template?: PodTemplateSpec };
  readonly status?: SourceStatus;
};

/** Objects by name, or all that a selector picks. */
export type BindingSubject = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly selector?: LabelSelector;
};

/** Tells the containers of other objects, by K_SINK, where their events go. */
export type SinkBinding = KubeObject & {
  readonly spec?: SourceSpec & { readonly subject?: BindingSubject };
  readonly status?: SourceStatus;
};

/** A bucket of an S3-compatible service. */
export type S3Spec = {
  readonly bucket?: string;
  /** Only keys that begin so; the source's pattern is about what follows. */
  readonly prefix?: string;
  /** The service's address. Absent: what the Secret says (AWS_ENDPOINT_URL), else Amazon's own. */
  readonly endpoint?: string;
  /** Absent: what the Secret says (AWS_REGION), else us-east-1. */
  readonly region?: string;
  /** Whether the bucket's name is in the path or in the host. Absent: in the path, but for Amazon's own. */
  readonly pathStyle?: boolean;
  /** With AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Absent: requests are not signed, which is for public buckets. */
  readonly secretRef?: { readonly name?: string };
  /** How long between two looks, as "30s", which is the default. */
  readonly pollInterval?: string;
};

/** What the last look at a bucket brought. */
export type BucketListing = {
  /** Which form of the source it was. */
  readonly observedGeneration?: number;
  /** Absent when all was well. */
  readonly reason?: string;
  readonly message?: string;
};

export type ObjectSourceSpec = SourceSpec & {
  /** A folder of the cluster's own, by its name in the namespace; made when it is missing. */
  readonly bucket?: string;
  /** Or the folder of a volume of this machine (hostPath or local) that a claim of the namespace is bound to. */
  readonly persistentVolumeClaim?: { readonly claimName?: string };
  /** Or a bucket of a service. */
  readonly s3?: S3Spec;
  /** Which keys: `*` within a folder, `**` over folders, `?` one character. Absent: all. */
  readonly pattern?: string;
  /** What the event's data is: facts about the object, or the object itself. Default Reference. */
  readonly mode?: "Reference" | "Content";
};

/** Sends an event for each file that is written into a folder or a bucket, and for each that goes. */
export type ObjectSource = KubeObject & {
  readonly spec?: ObjectSourceSpec;
  readonly status?: SourceStatus & {
    /** The folder on this machine. */
    readonly path?: string;
    /** Written by whoever looks at the bucket. */
    readonly listing?: BucketListing;
  };
};

export type GitSourceSpec = SourceSpec & {
  /** Name of a Repository in the namespace. Absent: all of them. */
  readonly repository?: string;
  /** Names, `*` for any characters but a slash, `**` for any. Absent: all. */
  readonly branches?: readonly string[];
};

/** Sends an event for each push to a Repository. */
export type GitSource = KubeObject & { readonly spec?: GitSourceSpec; readonly status?: SourceStatus };
