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
};

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
