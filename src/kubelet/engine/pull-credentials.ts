/**
 * Registry credentials from a pod's imagePullSecrets. Both kinds of secrets: kubernetes.io/dockerconfigjson and the older kubernetes.io/dockercfg.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { RegistryCredential } from "#kubelet/container-runtime.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";

/** All credentials that the pod's secrets hold. Secrets that are missing or broken are told as an event and left out. */
export async function pullCredentials(
  pod: Pod,
  objects: PodObjects,
  events: KubeletEvents,
): Promise<readonly RegistryCredential[]> {
  const namespace = pod.metadata?.namespace ?? "";
  const names = (pod.spec?.imagePullSecrets ?? []).map((it) => it.name ?? "").filter((name) => name !== "");
  const missing: string[] = [];
  const found: RegistryCredential[] = [];
  for (const name of names) {
    // One that cannot be had is told as missing, and the pull is tried without it, as upstream's.
    const secret = await objects.secret(namespace, name).catch(() => undefined);
    const source = { uid: secret?.metadata?.uid ?? "", namespace, name };
    if (secret?.data) found.push(...parseDockerSecret(secret.data).map((it) => ({ ...it, secret: source })));
    else missing.push(name);
  }
  if (missing.length > 0) {
    const message = `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`;
    events.pod(pod, "Warning", "FailedToRetrieveImagePullSecret", message);
  }
  return found;
}

type DockerAuth = {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
};

/** Credentials in a Secret's data (base64). Text that is no Docker configuration holds none. */
export function parseDockerSecret(data: Readonly<Record<string, string>>): readonly RegistryCredential[] {
  const text = data[".dockerconfigjson"] ?? data[".dockercfg"];
  if (text === undefined) return [];
  try {
    const parsed = JSON.parse(Buffer.from(text, "base64").toString("utf8")) as Readonly<Record<string, unknown>>;
    const auths = (data[".dockerconfigjson"] === undefined ? parsed : parsed["auths"]) ?? {};
    return Object.entries(auths as Readonly<Record<string, DockerAuth>>).map(([registry, auth]) =>
      credential(registry, auth),
    );
  } catch {
    return [];
  }
}

function credential(registry: string, entry: DockerAuth): RegistryCredential {
  const decoded = entry.auth === undefined ? "" : Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  const username = entry.username ?? (colon < 0 ? undefined : decoded.slice(0, colon));
  const password = entry.password ?? (colon < 0 ? undefined : decoded.slice(colon + 1));
  return {
    registry,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(entry.identitytoken === undefined ? {} : { identityToken: entry.identitytoken }),
  };
}
