/**
 * The API objects that pods read: their ConfigMaps, Secrets, Services and tokens, as the engine, the environment and the volumes ask for them.
 */
import type { ClusterTrustBundle } from "#api/generated/types/certificates-v1beta1.ts";
import type { ConfigMap, Pod, Secret, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { LabelSelector } from "#apimachinery/label-selector.ts";

/** A token for the API, and when it ends (ms since 1970). */
export type ServiceAccountToken = { readonly token: string; readonly expiresMs: number };

/** What a token is asked for. */
export type TokenRequestSpec = { readonly audiences: readonly string[]; readonly expirationSeconds: number };

/** Reads on behalf of pods. Objects are frozen. While a pod is registered its objects are followed, so that reads after the first cost nothing. */
export interface PodObjects {
  /** Follows the objects that this pod names. Called again when its spec changed. `onChange` says that one of them changed. */
  register(pod: Pod, onChange: () => void): void;
  /** The pod is gone: its objects need not be followed any more. */
  unregister(uid: string): void;
  /** The object as it is now; undefined when there is none. Waits for the first read. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  /** The Secret, or undefined when there is none. */
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  /** Services of all namespaces. Waits for the first list. */
  services(): Promise<readonly KubeService[]>;
  /** The runtime handler that a RuntimeClass names. Throws an Error with upstream's words when there is no such class. */
  runtimeHandler(runtimeClassName: string): Promise<string>;
  /** A token bound to this pod. */
  serviceAccountToken(pod: Pod, spec: TokenRequestSpec): Promise<ServiceAccountToken>;
  /** Trust bundles of this name, or of this signer. */
  clusterTrustBundles(selection: {
    readonly name?: string;
    readonly signerName?: string;
    readonly labelSelector?: LabelSelector | undefined;
  }): Promise<readonly ClusterTrustBundle[]>;
}
