/**
 * Serving's kinds as TypeScript sees them. The API server knows them by their CustomResourceDefinitions (`crds/`); everything optional there is optional here.
 */
import type { PodSpec } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource, KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import type { Addressable, DuckStatus, ObjectReference } from "#knative/duck.ts";
import { autoscalingInternalGroup, networkingInternalGroup, servingGroup } from "./names.ts";

/** Resources of the kinds below. */
export const services: GroupVersionResource = { group: servingGroup, version: "v1", resource: "services" };
export const configurations: GroupVersionResource = { group: servingGroup, version: "v1", resource: "configurations" };
export const revisions: GroupVersionResource = { group: servingGroup, version: "v1", resource: "revisions" };
export const routes: GroupVersionResource = { group: servingGroup, version: "v1", resource: "routes" };
export const domainMappings: GroupVersionResource = {
  group: servingGroup,
  version: "v1beta1",
  resource: "domainmappings",
};
export const podAutoscalers: GroupVersionResource = {
  group: autoscalingInternalGroup,
  version: "v1alpha1",
  resource: "podautoscalers",
};
export const ingresses: GroupVersionResource = {
  group: networkingInternalGroup,
  version: "v1alpha1",
  resource: "ingresses",
};

/** A pod's specification with what Serving adds to it. Immutable once it is a Revision's. */
export type RevisionSpec = PodSpec & {
  readonly containerConcurrency?: number;
  readonly timeoutSeconds?: number;
  readonly responseStartTimeoutSeconds?: number;
  readonly idleTimeoutSeconds?: number;
};

export type RevisionTemplate = { readonly metadata?: ObjectMeta; readonly spec?: RevisionSpec };

export type ConfigurationSpec = { readonly template?: RevisionTemplate };

export type ConfigurationStatus = DuckStatus & {
  readonly latestReadyRevisionName?: string;
  readonly latestCreatedRevisionName?: string;
};

/** What the newest revision shall look like. */
export type Configuration = KubeObject & { readonly spec?: ConfigurationSpec; readonly status?: ConfigurationStatus };

export type ContainerStatus = { readonly name?: string; readonly imageDigest?: string };

export type RevisionStatus = DuckStatus & {
  readonly logUrl?: string;
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly actualReplicas?: number;
  readonly desiredReplicas?: number;
};

/** A snapshot of code and configuration that can take traffic. */
export type Revision = KubeObject & { readonly spec?: RevisionSpec; readonly status?: RevisionStatus };

/** A share of a route's traffic. `percent` of all targets adds up to 100. */
export type TrafficTarget = {
  readonly tag?: string;
  readonly revisionName?: string;
  readonly configurationName?: string;
  readonly latestRevision?: boolean;
  readonly percent?: number;
  readonly url?: string;
};

export type RouteSpec = { readonly traffic?: readonly TrafficTarget[] };

export type RouteStatus = DuckStatus & {
  readonly url?: string;
  readonly address?: Addressable;
  readonly traffic?: readonly TrafficTarget[];
};

/** An address, and which revisions answer there. */
export type Route = KubeObject & { readonly spec?: RouteSpec; readonly status?: RouteStatus };

/** Configuration and Route in one. */
export type Service = KubeObject & {
  readonly spec?: ConfigurationSpec & RouteSpec;
  readonly status?: ConfigurationStatus & RouteStatus;
};

/** A name of the user's own for a Route, a Service or anything that is addressable. */
export type DomainMapping = KubeObject & {
  readonly spec?: { readonly ref?: ObjectReference; readonly tls?: { readonly secretName?: string } };
  readonly status?: DuckStatus & { readonly url?: string; readonly address?: Addressable };
};

export type Reachability = "" | "Reachable" | "Unreachable";

/** What a revision's cold starts came to, in milliseconds: quantiles over the last fifty. */
export type ColdStartSummary = {
  readonly count?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** `decision`, `schedule`, `start`, `ready`, `firstByte`. */
  readonly parts?: readonly { readonly part: string; readonly p50Ms: number; readonly p99Ms: number }[];
  readonly last?: { readonly time: string; readonly totalMs: number };
};

export type PodAutoscalerStatus = DuckStatus & {
  readonly coldStarts?: ColdStartSummary;
  readonly serviceName?: string;
  readonly metricsServiceName?: string;
  readonly desiredScale?: number;
  readonly actualScale?: number;
};

/** How many pods a revision has, wants and why. Autoscaler and revision meet in it. */
export type PodAutoscaler = KubeObject & {
  readonly spec?: {
    readonly containerConcurrency?: number;
    readonly scaleTargetRef?: ObjectReference;
    readonly reachability?: Reachability;
    readonly protocolType?: "http1" | "h2c";
  };
  readonly status?: PodAutoscalerStatus;
};

/** A weighted way of an ingress path: a Service of a revision, and headers that tell which. */
export type IngressSplit = {
  readonly serviceNamespace: string;
  readonly serviceName: string;
  readonly servicePort: number | string;
  readonly percent?: number;
  readonly appendHeaders?: Readonly<Record<string, string>>;
};

export type IngressPath = {
  readonly path?: string;
  readonly rewriteHost?: string;
  /** Requests must carry these; more headers go before fewer. */
  readonly headers?: Readonly<Record<string, { readonly exact: string }>>;
  readonly appendHeaders?: Readonly<Record<string, string>>;
  readonly splits: readonly IngressSplit[];
};

export type IngressRule = {
  readonly hosts: readonly string[];
  readonly visibility: "ExternalIP" | "ClusterLocal";
  readonly http: { readonly paths: readonly IngressPath[] };
};

export type IngressTls = {
  readonly hosts: readonly string[];
  readonly secretName: string;
  readonly secretNamespace: string;
};

export type LoadBalancerStatus = {
  readonly ingress?: readonly {
    readonly ip?: string;
    readonly domain?: string;
    readonly domainInternal?: string;
    readonly meshOnly?: boolean;
  }[];
};

/** The table of one Route: which hosts lead to which revisions with which weights. Data planes read it, and say in its status that they follow it. */
export type Ingress = KubeObject & {
  readonly spec?: {
    readonly httpOption?: "Enabled" | "Redirected";
    readonly rules?: readonly IngressRule[];
    readonly tls?: readonly IngressTls[];
  };
  readonly status?: DuckStatus & {
    readonly publicLoadBalancer?: LoadBalancerStatus;
    readonly privateLoadBalancer?: LoadBalancerStatus;
  };
};
