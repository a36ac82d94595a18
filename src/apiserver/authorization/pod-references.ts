/**
 * What a pod refers to: the objects that its node must be able to read to run it. As pkg/api/v1/pod's VisitPodSecretNames and VisitPodConfigmapNames.
 */
import type { Container, Pod, Volume } from "#api/generated/types/core-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";

/** Follows all pods, of which nothing is kept but what decides about access: a tenth of a whole one. */
export function followReferences(informers: InformerFactory): Informer<Pod> {
  return informers.informer<Pod>({
    resource: { group: "", version: "v1", resource: "pods" },
    transform: referencesOnly,
  });
}

function referencesOnly({ metadata, spec, status, ...type }: Pod): Pod {
  const { name, namespace, uid, resourceVersion, annotations } = metadata ?? {};
  const mirror = annotations?.[mirrorAnnotation];
  const claims = status?.resourceClaimStatuses;
  return {
    ...type,
    metadata: { name, namespace, uid, resourceVersion, ...(mirror && { annotations: { [mirrorAnnotation]: mirror } }) },
    ...(spec && { spec: specReferences(spec) }),
    ...(claims && { status: { resourceClaimStatuses: claims } }),
  } as Pod;
}

function specReferences(spec: NonNullable<Pod["spec"]>): object {
  const { nodeName, serviceAccountName, imagePullSecrets, resourceClaims } = spec;
  const { containers, initContainers, ephemeralContainers, volumes } = spec;
  return {
    nodeName,
    serviceAccountName,
    imagePullSecrets,
    resourceClaims,
    containers: containers?.map(containerReferences),
    initContainers: initContainers?.map(containerReferences),
    // Their number tells that one came along.
    ephemeralContainers: ephemeralContainers?.map(containerReferences),
    volumes: volumes?.map(volumeReferences).filter((volume) => volume !== undefined),
  };
}

function containerReferences({ env, envFrom }: Pick<Container, "env" | "envFrom">): object {
  const kept = env?.filter(({ valueFrom }) => valueFrom?.configMapKeyRef ?? valueFrom?.secretKeyRef);
  return { ...(kept?.length && { env: kept }), ...(envFrom && { envFrom }) };
}

function volumeReferences(volume: Volume): object | undefined {
  if (volume.emptyDir ?? volume.hostPath ?? volume.downwardAPI) return undefined;
  if (!volume.projected) return volume;
  const sources = volume.projected.sources?.map(({ configMap, secret, serviceAccountToken }) => ({
    ...(configMap && { configMap: { name: configMap.name } }),
    ...(secret && { secret: { name: secret.name } }),
    ...(serviceAccountToken && { serviceAccountToken: { audience: serviceAccountToken.audience } }),
  }));
  return { name: volume.name, projected: { sources } };
}

/** Keys "RESOURCE/NAMESPACE/NAME" of all objects that the pod uses, itself included; each once. */
export function objectsUsedBy(pod: Pod): ReadonlySet<string> {
  const namespace = pod.metadata?.namespace ?? "";
  const used = new Set([`pods/${namespace}/${pod.metadata?.name}`]);
  // A node must not gain anything by a pod that it made itself.
  if (pod.metadata?.annotations?.[mirrorAnnotation] !== undefined || !pod.spec) return used;
  const add = (resource: string, name: string | undefined) => {
    if (name) used.add(`${resource}/${namespace}/${name}`);
  };
  add("serviceaccounts", pod.spec.serviceAccountName);
  for (const { name } of pod.spec.imagePullSecrets ?? []) add("secrets", name);
  const { containers, initContainers = [], ephemeralContainers = [], volumes = [] } = pod.spec;
  for (const container of [...(containers ?? []), ...initContainers, ...ephemeralContainers])
    addContainer(container, add);
  for (const volume of volumes) addVolume(volume, pod, add);
  for (const claim of pod.spec.resourceClaims ?? []) add("resourceclaims", claim.resourceClaimName);
  for (const claim of pod.status?.resourceClaimStatuses ?? []) add("resourceclaims", claim.resourceClaimName);
  return used;
}

type Add = (resource: string, name: string | undefined) => void;

function addContainer(container: Pick<Container, "env" | "envFrom">, add: Add): void {
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    add("configmaps", configMapRef?.name);
    add("secrets", secretRef?.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    add("configmaps", valueFrom?.configMapKeyRef?.name);
    add("secrets", valueFrom?.secretKeyRef?.name);
  }
}

function addVolume(volume: Volume, pod: Pod, add: Add): void {
  add("configmaps", volume.configMap?.name);
  add("secrets", volume.secret?.secretName);
  add("persistentvolumeclaims", volume.persistentVolumeClaim?.claimName);
  if (volume.ephemeral) add("persistentvolumeclaims", `${pod.metadata?.name}-${volume.name}`);
  for (const source of volume.projected?.sources ?? []) {
    add("configmaps", source.configMap?.name);
    add("secrets", source.secret?.name);
  }
  const others = [volume.cephfs, volume.rbd, volume.iscsi, volume.flexVolume, volume.scaleIO, volume.storageos];
  for (const source of others) add("secrets", source?.secretRef?.name);
  add("secrets", volume.csi?.nodePublishSecretRef?.name);
  add("secrets", volume.azureFile?.secretName);
}
