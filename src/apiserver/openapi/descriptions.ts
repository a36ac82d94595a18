/**
 * The few words that `kubectl explain` shows of what all kinds share where upstream's (words.ts) are not at hand. These are ours; the beginnings are those that conformance tests look for.
 */

import type { Words } from "./words.ts";

/** By upstream's name of the struct and the field's name. */
const fieldDescriptions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
    name: "Name is the object's name, unique among the objects of its kind in its namespace. It cannot be changed.",
    generateName:
      "GenerateName is what the server's generated name begins with, where the object is created without a name.",
    namespace: "Namespace is the namespace that the object lives in. It cannot be changed.",
    uid: "UID tells this object from all others, past and future, also those of the same name.",
    resourceVersion:
      "ResourceVersion names the object's state in the store. An update that sends it succeeds only if nothing changed since.",
    generation: "Generation counts the changes of the desired state.",
    creationTimestamp: "CreationTimestamp is a timestamp of the moment when the server created the object.",
    deletionTimestamp:
      "DeletionTimestamp is the moment after which the object will be gone; the server sets it when somebody asks for deletion.",
    deletionGracePeriodSeconds:
      "DeletionGracePeriodSeconds is how long the object may take to end before it is removed.",
    labels: "Labels are keys and values by which objects are selected.",
    annotations: "Annotations are keys and values that tools keep with the object; nothing selects by them.",
    ownerReferences:
      "OwnerReferences are the objects that this one belongs to. When all of them are gone, it is deleted.",
    finalizers: "Finalizers are names of those who must finish something before the object may be removed.",
    managedFields: "ManagedFields tells which manager set which fields, for server-side apply.",
    selfLink: "SelfLink is no longer set.",
  },
  "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta": {
    resourceVersion: "ResourceVersion names the state of the store that the list shows.",
    continue: "Continue is set where the list was cut off: send it to get what follows.",
    remainingItemCount: "RemainingItemCount is how many objects follow, where the server knows it.",
    selfLink: "SelfLink is no longer set.",
  },
  ...structFields({
    "core.v1.PodSpec": {
      affinity: "Which nodes, and which other pods' neighbourhood, the pod wants or shuns.",
      dnsConfig: "What its containers' resolv.conf gets beyond what dnsPolicy gives.",
      os: "The operating system that the containers are for.",
      resources: "What all containers together ask for and may use.",
      securityContext: "Rights and identities of the whole pod, where its containers say nothing else.",
    },
    "core.v1.Container": {
      lifecycle: "What happens right after its start and before its end.",
      livenessProbe: "A look at whether it works; one that fails too often has it restarted.",
      readinessProbe: "A look at whether it takes requests; while it fails, Services leave it out.",
      resources: "What it asks for and may use.",
      securityContext: "Rights and identity of this container; they go before those of the pod.",
      startupProbe: "A look at whether it has started; the other probes wait for it.",
    },
    "core.v1.Lifecycle": {
      postStart: "Runs right after the container was made.",
      preStop: "Runs before the container is told to end, within the pod's grace period.",
    },
    "core.v1.Probe": {
      exec: "A command in the container that ends with 0.",
      grpc: "A call of the gRPC health service.",
      httpGet: "A request over HTTP that is answered with 200 to 399.",
      tcpSocket: "A connection over TCP that is taken.",
    },
    "core.v1.EnvVar": { valueFrom: "Where the value comes from, instead of standing in value." },
    "core.v1.EnvVarSource": {
      configMapKeyRef: "A key of a ConfigMap in the pod's namespace.",
      fieldRef: "A field of the pod itself.",
      resourceFieldRef: "A request or limit of the container.",
      secretKeyRef: "A key of a Secret in the pod's namespace.",
    },
    "core.v1.Volume": {
      configMap: "Files of a ConfigMap's keys.",
      csi: "Storage that a CSI driver gives for the pod's life.",
      downwardAPI: "Files with facts about the pod.",
      emptyDir: "A folder that begins empty and goes with the pod.",
      ephemeral: "A claim that is made for the pod and goes with it.",
      hostPath: "A file or folder of the node.",
      image: "The files of an image.",
      nfs: "An export of an NFS server.",
      persistentVolumeClaim: "The volume of a PersistentVolumeClaim in the pod's namespace.",
      projected: "Files of several sources in one folder.",
      secret: "Files of a Secret's keys.",
    },
    "core.v1.PodTemplateSpec": { spec: "What the pods are to be like." },
    "apps.v1.DeploymentSpec": {
      selector: "Which pods are the Deployment's: labels of the template must match.",
      strategy: "How old pods are replaced by new ones.",
      template: "What the pods are made of.",
    },
    "apps.v1.ReplicaSetSpec": {
      selector: "Which pods are the ReplicaSet's: labels of the template must match.",
      template: "What the pods are made of.",
    },
    "apps.v1.StatefulSetSpec": {
      ordinals: "Which number the first pod has.",
      persistentVolumeClaimRetentionPolicy: "What becomes of claims when their pods or the set go.",
      selector: "Which pods are the StatefulSet's: labels of the template must match.",
      template: "What the pods are made of.",
      updateStrategy: "How pods are replaced when the template changes.",
    },
    "apps.v1.DaemonSetSpec": {
      selector: "Which pods are the DaemonSet's: labels of the template must match.",
      template: "What the pods are made of.",
      updateStrategy: "How pods are replaced when the template changes.",
    },
    "batch.v1.JobSpec": {
      podFailurePolicy: "Which failures of pods count, and which end the Job.",
      selector: "Which pods are the Job's; the server chooses it.",
      successPolicy: "When the Job has succeeded before all of its pods have.",
      template: "What the pods are made of.",
    },
    "batch.v1.CronJobSpec": { jobTemplate: "What the Jobs are made of." },
  }),
};

/** Words for fields that hold a struct: the package has only the struct's. By the struct's name without what all begin with. */
function structFields(given: Readonly<Record<string, Readonly<Record<string, string>>>>): typeof given {
  return Object.fromEntries(Object.entries(given).map(([name, fields]) => [`io.k8s.api.${name}`, fields]));
}

/** A kind whose words for what all kinds have are those of custom kinds, too. */
const anyKind = "io.k8s.api.core.v1.Pod";

/** Fields of every kind. */
const kindFields: Readonly<Record<string, string>> = {
  apiVersion: "APIVersion defines the group and version whose schema the object follows.",
  kind: "Kind is the kind of the object.",
  metadata: "Standard object's metadata.",
  items: "Items are the objects of the list.",
  spec: "Spec is the desired state.",
  status: "Status is the observed state; the system fills it in.",
};

/** How many letters there are of our own: documents with others are other documents. */
export function sizeOfOwnWords(): number {
  return JSON.stringify([fieldDescriptions, kindFields]).length;
}

/** Words for a field, or undefined: upstream's where they are at hand. `isKind`: the struct is a whole object with apiVersion and kind. */
export function describeField(
  words: Words,
  structName: string,
  fieldName: string,
  isKind: boolean,
): string | undefined {
  const known = words.find(structName === "" ? anyKind : structName, fieldName);
  return known ?? fieldDescriptions[structName]?.[fieldName] ?? (isKind ? kindFields[fieldName] : undefined);
}
