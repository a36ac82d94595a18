/**
 * The first contract that others fill: who says where requests go. Several sources may feed one engine and one listener; each owns what it sets.
 */
import type { ClusterConfig } from "./cluster.ts";
import type { CertificateConfig, ListenerConfig } from "./listener.ts";
import type { RouteConfig } from "./route.ts";

/** A resource, named within its kind. */
export type Resource =
  | { readonly kind: "listener"; readonly config: ListenerConfig }
  | { readonly kind: "certificate"; readonly config: CertificateConfig }
  | { readonly kind: "cluster"; readonly config: ClusterConfig }
  | { readonly kind: "route"; readonly config: RouteConfig };

export type ResourceKind = Resource["kind"];

/** A resource that is new or different, or one that is gone. */
export type ConfigChange =
  | { readonly set: Resource }
  | { readonly remove: { readonly kind: ResourceKind; readonly name: string } };

/** Why a change was not taken. What was in force under the name stays. */
export type ConfigProblem = { readonly kind: ResourceKind; readonly name: string; readonly message: string };

/** Where sources say what they want. */
export interface ConfigSink {
  /**
   * Takes changes, all in one step: a request sees those before or those after, and requests that are under way end as they began. Resolves when they are in force on all threads.
   * Setting what is there already changes nothing; removing what is not there is no error.
   */
  apply(changes: readonly ConfigChange[]): Promise<readonly ConfigProblem[]>;
}

/** Says where requests go, for as long as it runs. */
export interface RouteSource {
  /** Applies everything it knows, resolves, and goes on applying changes until `signal` aborts. What it has set stays in force afterwards. Called once. */
  start(sink: ConfigSink, signal: AbortSignal): Promise<void>;
}
