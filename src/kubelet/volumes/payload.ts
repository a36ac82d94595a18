/**
 * What the files of configMap, secret, downwardAPI and projected volumes hold. Messages as pkg/volume/{configmap,secret,projected,downwardapi}.
 */
import type {
  ConfigMap,
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Secret,
  VolumeProjection,
} from "#api/generated/types/core-v1.ts";
import { podFieldValue, resourceFieldValue } from "#kubelet/env/fields.ts";
import type { PodFacts } from "#kubelet/env/fields.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import type { Payload, ProjectedFile } from "./atomic-writer.ts";

/** What contents are made from. */
export type PayloadSources = { readonly objects: PodObjects; readonly facts: PodFacts };

/** Files of a configMap volume. */
export async function configMapPayload(
  pod: Pod,
  source: { readonly name?: string; readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
  mode: number,
  { objects }: PayloadSources,
): Promise<Payload> {
  const name = source.name ?? "";
  const configMap = await objects.configMap(pod.metadata?.namespace ?? "", name);
  if (!configMap && !source.optional) throw new Error(`configmap ${JSON.stringify(name)} not found`);
  return pickKeys(configMap ? configMapData(configMap) : new Map(), source, mode, "configmap", configMap !== undefined);
}

/** Files of a secret volume. */
export async function secretPayload(
  pod: Pod,
  source: { readonly name?: string; readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
  mode: number,
  { objects }: PayloadSources,
): Promise<Payload> {
  const name = source.name ?? "";
  const secret = await objects.secret(pod.metadata?.namespace ?? "", name);
  if (!secret && !source.optional) throw new Error(`secret ${JSON.stringify(name)} not found`);
  return pickKeys(secret ? secretData(secret) : new Map(), source, mode, "secret", secret !== undefined);
}

/** Files of a downwardAPI volume. */
export function downwardPayload(
  pod: Pod,
  items: readonly DownwardAPIVolumeFile[],
  defaultMode: number,
  { facts }: PayloadSources,
): Payload {
  const files = items.map(({ path, mode, fieldRef, resourceFieldRef }): [string, ProjectedFile] => {
    const text = fieldRef
      ? podFieldValue(pod, fieldRef, facts)
      : resourceFieldRef
        ? resourceFieldValue(pod, undefined, resourceFieldRef, facts)
        : "";
    return [path, { data: Buffer.from(text, "utf8"), mode: mode ?? defaultMode }];
  });
  return new Map(files);
}

/** One source of a projected volume. `onToken` hears when a token has to be renewed. */
export async function projectionPayload(
  pod: Pod,
  source: VolumeProjection,
  mode: number,
  sources: PayloadSources,
  onToken: (expiresMs: number) => void,
): Promise<Payload> {
  if (source.configMap) return configMapPayload(pod, source.configMap, mode, sources);
  if (source.secret) return secretPayload(pod, source.secret, mode, sources);
  if (source.downwardAPI) return downwardPayload(pod, source.downwardAPI.items ?? [], mode, sources);
  if (source.serviceAccountToken) return tokenPayload(pod, source.serviceAccountToken, mode, sources, onToken);
  if (source.clusterTrustBundle) return trustPayload(source.clusterTrustBundle, mode, sources);
  throw new Error("this kind of projection is not supported on this node");
}

async function tokenPayload(
  pod: Pod,
  source: NonNullable<VolumeProjection["serviceAccountToken"]>,
  mode: number,
  { objects }: PayloadSources,
  onToken: (expiresMs: number) => void,
): Promise<Payload> {
  const audiences = source.audience ? [source.audience] : [];
  const { token, expiresMs } = await objects.serviceAccountToken(pod, {
    audiences,
    expirationSeconds: source.expirationSeconds ?? 3600,
  });
  onToken(expiresMs);
  return new Map([[source.path, { data: Buffer.from(token, "utf8"), ...tokenOwner(pod, mode) }]]);
}

// Readable by whoever runs in the pod, and by nobody else: by group with an fsGroup, by the user where all containers have the same.
function tokenOwner(pod: Pod, mode: number): { readonly mode: number; readonly uid?: number } {
  if (pod.spec?.securityContext?.fsGroup !== undefined) return { mode: 0o600 };
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  const users = new Set(
    [...initContainers, ...containers].map(
      (it) => it.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser,
    ),
  );
  const [user] = users;
  return users.size === 1 && user !== undefined ? { mode: 0o600, uid: user } : { mode };
}

async function trustPayload(
  source: NonNullable<VolumeProjection["clusterTrustBundle"]>,
  mode: number,
  { objects }: PayloadSources,
): Promise<Payload> {
  const selection =
    source.name === undefined
      ? { signerName: source.signerName ?? "", labelSelector: source.labelSelector }
      : { name: source.name };
  const bundles = await objects.clusterTrustBundles(selection);
  if (bundles.length === 0 && !source.optional) {
    const what = source.name === undefined ? `signerName ${source.signerName ?? ""}` : `name ${source.name}`;
    throw new Error(`combination of ${what} matched zero ClusterTrustBundles`);
  }
  const blocks = bundles.flatMap(
    (bundle) => bundle.spec.trustBundle.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [],
  );
  const text = [...new Set(blocks)]
    .sort()
    .map((block) => `${block}\n`)
    .join("");
  return new Map([[source.path, { data: Buffer.from(text, "utf8"), mode }]]);
}

function configMapData(configMap: ConfigMap): Map<string, Uint8Array> {
  const text = Object.entries(configMap.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "utf8")] as const);
  const binary = Object.entries(configMap.binaryData ?? {}).map(
    ([key, value]) => [key, Buffer.from(value, "base64")] as const,
  );
  return new Map([...text, ...binary]);
}

function secretData(secret: Secret): Map<string, Uint8Array> {
  return new Map(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]));
}

function pickKeys(
  data: ReadonlyMap<string, Uint8Array>,
  source: { readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
  defaultMode: number,
  what: string,
  exists: boolean,
): Payload {
  if (!source.items || source.items.length === 0) {
    return new Map([...data].map(([key, bytes]) => [key, { data: bytes, mode: defaultMode }]));
  }
  const files = source.items.flatMap(({ key, path, mode }): [string, ProjectedFile][] => {
    const bytes = data.get(key);
    if (bytes) return [[path, { data: bytes, mode: mode ?? defaultMode }]];
    if (source.optional || !exists) return [];
    throw new Error(`references non-existent ${what === "secret" ? "secret" : "config"} key: ${key}`);
  });
  return new Map(files);
}
