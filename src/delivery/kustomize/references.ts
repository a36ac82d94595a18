/**
 * Names of other objects: what is called otherwise now is called so by those who name it.
 */
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { Draft } from "./kustomization-types.ts";

/** An object of a kind that has another name. */
export type Renaming = { readonly kind: string; readonly from: string; readonly to: string };

/** Fields that name an object of a kind: the field that holds the reference, and the field in it with the name; "" where it is the name itself. */
const fields: Readonly<Record<string, readonly (readonly [holder: string, key: string])[]>> = {
  ConfigMap: [
    ["configMapRef", "name"],
    ["configMapKeyRef", "name"],
    ["configMap", "name"],
  ],
  Secret: [
    ["secretRef", "name"],
    ["secretKeyRef", "name"],
    ["secret", "name"],
    ["secret", "secretName"],
    ["imagePullSecrets", "name"],
    ["tls", "secretName"],
  ],
  Service: [
    ["service", "name"],
    ["spec", "serviceName"],
    ["backendRefs", "name"],
  ],
  ServiceAccount: [["spec", "serviceAccountName"]],
  PersistentVolumeClaim: [["persistentVolumeClaim", "claimName"]],
};

export function renameReferences(manifests: readonly Draft[], renamings: readonly Renaming[]): readonly Draft[] {
  if (renamings.length === 0) return manifests;
  return manifests.map((manifest) => ({ ...manifest, object: rename(manifest.object, "", renamings) as JsonObject }));
}

function rename(value: Json, holder: string, renamings: readonly Renaming[]): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => rename(item, holder, renamings));
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, rename(inner, key, renamings)] as const);
  const object = Object.fromEntries(entries) as Record<string, Json>;
  for (const { kind, from, to } of renamings) {
    for (const [inHolder, key] of fields[kind] ?? []) if (inHolder === holder && value[key] === from) object[key] = to;
    // Roles, subjects of bindings, targets of autoscalers: they say the kind themselves.
    if (/^(?:roleRef|subjects|scaleTargetRef)$/.test(holder) && value["kind"] === kind && value["name"] === from)
      object["name"] = to;
  }
  return object;
}
