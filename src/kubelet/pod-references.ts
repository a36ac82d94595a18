/**
 * Which ConfigMaps and Secrets a pod names: in variables, volumes and for pulling images.
 */
import type { Container, Pod, Volume } from "#api/generated/types/core-v1.ts";

/** An object in the pod's own namespace. */
export type PodReference = { readonly resource: "configmaps" | "secrets"; readonly name: string };

/** All of them; some may be named twice. */
export function objectsOf(pod: Pod): readonly PodReference[] {
  const {
    initContainers = [],
    containers = [],
    ephemeralContainers = [],
    volumes = [],
    imagePullSecrets = [],
  } = pod.spec ?? {};
  const all = [...initContainers, ...containers, ...(ephemeralContainers as readonly Container[])];
  const secrets = imagePullSecrets.flatMap(({ name }) => secret(name));
  return [...all.flatMap(ofContainer), ...volumes.flatMap(ofVolume), ...secrets];
}

function ofContainer(container: Container): readonly PodReference[] {
  const whole = (container.envFrom ?? []).flatMap((it) => [
    ...configMap(it.configMapRef?.name),
    ...secret(it.secretRef?.name),
  ]);
  const keys = (container.env ?? []).flatMap(({ valueFrom }) => [
    ...configMap(valueFrom?.configMapKeyRef?.name),
    ...secret(valueFrom?.secretKeyRef?.name),
  ]);
  return [...whole, ...keys];
}

function ofVolume(volume: Volume): readonly PodReference[] {
  const projected = (volume.projected?.sources ?? []).flatMap((source) => [
    ...configMap(source.configMap?.name),
    ...secret(source.secret?.name),
  ]);
  return [...configMap(volume.configMap?.name), ...secret(volume.secret?.secretName), ...projected];
}

function configMap(name: string | undefined): readonly PodReference[] {
  return name ? [{ resource: "configmaps", name }] : [];
}

function secret(name: string | undefined): readonly PodReference[] {
  return name ? [{ resource: "secrets", name }] : [];
}
