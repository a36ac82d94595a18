/**
 * For service accounts annotated `kubernetes.io/enforce-mountable-secrets: "true"`: pods may use only secrets that the account lists.
 */
import type { Container, Pod, ServiceAccount } from "#api/generated/types/core-v1.ts";

/** Why the pod may not be, in upstream's words; undefined when it may. */
export function findUnmountableSecret({ spec }: Pod, account: ServiceAccount): string | undefined {
  const allowed = new Set(account.secrets?.map((secret) => secret.name));
  const because = `is not allowed because service account ${account.metadata?.name} does not reference that`;
  for (const { secret } of spec?.volumes ?? []) {
    if (secret && !allowed.has(secret.secretName))
      return `volume with secret.secretName="${secret.secretName}" ${because} secret`;
  }
  const groups = [
    ["init container", spec?.initContainers],
    ["container", spec?.containers],
    ["ephemeral container", spec?.ephemeralContainers],
  ] as const;
  for (const [what, containers] of groups) {
    for (const container of containers ?? []) {
      const found = findInEnvironment(container, allowed);
      if (found) return `${what} ${container.name} with ${found} ${because} secret`;
    }
  }
  const pull = new Set(account.imagePullSecrets?.map((secret) => secret.name));
  const index = (spec?.imagePullSecrets ?? []).findIndex((secret) => !pull.has(secret.name));
  return index < 0
    ? undefined
    : `imagePullSecrets[${index}].name="${spec?.imagePullSecrets?.[index]?.name}" ${because} imagePullSecret`;
}

function findInEnvironment(
  { env, envFrom }: Pick<Container, "env" | "envFrom">,
  allowed: ReadonlySet<string | undefined>,
): string | undefined {
  for (const { name, valueFrom } of env ?? []) {
    const ref = valueFrom?.secretKeyRef;
    if (ref && !allowed.has(ref.name)) return `envVar ${name} referencing secret.secretName="${ref.name}"`;
  }
  for (const { secretRef } of envFrom ?? []) {
    if (secretRef && !allowed.has(secretRef.name)) return `envFrom referencing secret.secretName="${secretRef.name}"`;
  }
  return undefined;
}
