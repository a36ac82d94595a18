/**
 * What a kustomization changes in every object: namespace, prefix and suffix of names, labels, annotations, images, replicas.
 */
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { Draft, ImageEntry, Kustomization } from "./kustomization-types.ts";
import type { Renaming } from "./references.ts";

/** Have no namespace, and names that others know them by. */
const clusterKinds =
  /^(?:Namespace|CustomResourceDefinition|ClusterRole|ClusterRoleBinding|PersistentVolume|StorageClass|PriorityClass|IngressClass|RuntimeClass|(?:Mutating|Validating)\w+)$/;
const keepNames = /^(?:Namespace|CustomResourceDefinition)$/;
/** Where labels of selectors are, besides `spec.selector`. */
const templates = ["spec.template", "spec.jobTemplate", "spec.jobTemplate.spec.template"];
const scaled = /^(?:Deployment|ReplicaSet|ReplicationController|StatefulSet)$/;

type Metadata = {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** Adds to `renamings` what is called otherwise now. */
export function transform(
  draft: Draft,
  spec: Kustomization,
  { renamings, accounts }: { readonly renamings: Renaming[]; readonly accounts: ReadonlySet<string> },
): Draft {
  let { object } = draft;
  const kind = String(object["kind"]);
  const { name = "" } = metaOf(object);
  const isPlain = keepNames.test(kind);
  const newName = [isPlain ? "" : (spec.namePrefix ?? ""), name, isPlain ? "" : (spec.nameSuffix ?? "")].join("");
  if (newName !== name) renamings.push({ kind, from: name, to: newName });
  object = withMeta(object, {
    name: newName,
    ...(spec.namespace === undefined || clusterKinds.test(kind) ? {} : { namespace: spec.namespace }),
  });
  if (spec.namespace !== undefined) object = moveSubjects(object, spec.namespace, accounts);
  for (const { pairs = {}, includeSelectors = false, includeTemplates = false } of spec.labels ?? [])
    object = addLabels(object, pairs, { includeSelectors, includeTemplates: includeTemplates || includeSelectors });
  object = addLabels(object, spec.commonLabels ?? {}, { includeSelectors: true, includeTemplates: true });
  object = addAnnotations(object, spec.commonAnnotations ?? {});
  for (const image of spec.images ?? []) object = changeImages(object, image) as JsonObject;
  for (const { name: of, count } of spec.replicas ?? [])
    if (draft.names.includes(of) && scaled.test(kind)) object = setPath(object, "spec.replicas", count);
  return { ...draft, object, names: newName === name ? draft.names : [...draft.names, newName] };
}

/** Bindings of service accounts that move with the namespace. */
function moveSubjects(object: JsonObject, namespace: string, accounts: ReadonlySet<string>): JsonObject {
  const { kind, subjects } = object;
  if (!/^(?:Cluster)?RoleBinding$/.test(String(kind)) || !isJsonArray(subjects)) return object;
  const moved = subjects.map((subject) => {
    if (!isJsonObject(subject) || subject["kind"] !== "ServiceAccount") return subject;
    const name = String(subject["name"]);
    return accounts.has(name) || name === "default" ? { ...subject, namespace } : subject;
  });
  return { ...object, subjects: moved };
}

function addLabels(
  object: JsonObject,
  labels: Readonly<Record<string, string>>,
  { includeSelectors, includeTemplates }: { readonly includeSelectors: boolean; readonly includeTemplates: boolean },
): JsonObject {
  if (Object.keys(labels).length === 0) return object;
  let changed = withMeta(object, { labels: { ...metaOf(object).labels, ...labels } });
  if (includeTemplates)
    for (const path of templates)
      if (isJsonObject(getPath(changed, path))) changed = mergePath(changed, `${path}.metadata.labels`, labels);
  if (!includeSelectors) return changed;
  const kind = String(object["kind"]);
  if (kind === "Service" && isJsonObject(getPath(changed, "spec.selector")))
    return mergePath(changed, "spec.selector", labels);
  if (/^(?:Deployment|StatefulSet|DaemonSet|ReplicaSet)$/.test(kind))
    return mergePath(changed, "spec.selector.matchLabels", labels);
  return changed;
}

function addAnnotations(object: JsonObject, annotations: Readonly<Record<string, string>>): JsonObject {
  if (Object.keys(annotations).length === 0) return object;
  let changed = withMeta(object, { annotations: { ...metaOf(object).annotations, ...annotations } });
  for (const path of templates)
    if (isJsonObject(getPath(changed, path))) changed = mergePath(changed, `${path}.metadata.annotations`, annotations);
  return changed;
}

/** In every `containers` and `initContainers`, wherever they are. */
function changeImages(value: Json, image: ImageEntry): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => changeImages(item, image));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      (key === "containers" || key === "initContainers") && Array.isArray(inner)
        ? (inner as readonly Json[]).map((container) => withImage(container, image))
        : changeImages(inner, image),
    ]),
  );
}

function withImage(container: Json, { name, newName = name, newTag, digest }: ImageEntry): Json {
  if (!isJsonObject(container) || typeof container["image"] !== "string") return container;
  const [, found, tag, oldDigest] = /^(.+?)(?::([^/@:]+))?(?:@(.+))?$/.exec(container["image"]) ?? [];
  if (found !== name) return container;
  if (digest !== undefined) return { ...container, image: `${newName}@${digest}` };
  if (newTag !== undefined) return { ...container, image: `${newName}:${newTag}` };
  const rest = `${tag === undefined ? "" : `:${tag}`}${oldDigest === undefined ? "" : `@${oldDigest}`}`;
  return { ...container, image: `${newName}${rest}` };
}

function metaOf(object: JsonObject): Metadata {
  return isJsonObject(object["metadata"]) ? (object["metadata"] as Metadata) : {};
}

function withMeta(object: JsonObject, metadata: JsonObject): JsonObject {
  return { ...object, metadata: { ...(metaOf(object) as JsonObject), ...metadata } };
}

function getPath(object: JsonObject, path: string): Json | undefined {
  return path.split(".").reduce<Json | undefined>((at, key) => (isJsonObject(at) ? at[key] : undefined), object);
}

function setPath(object: JsonObject, path: string, value: Json): JsonObject {
  const [first = "", ...rest] = path.split(".");
  const inner = object[first];
  return {
    ...object,
    [first]: rest.length === 0 ? value : setPath(isJsonObject(inner) ? inner : {}, rest.join("."), value),
  };
}

function mergePath(object: JsonObject, path: string, labels: Readonly<Record<string, string>>): JsonObject {
  const before = getPath(object, path);
  return setPath(object, path, { ...(isJsonObject(before) ? before : {}), ...labels });
}
