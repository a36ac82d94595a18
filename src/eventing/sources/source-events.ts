/**
 * The events that sources send, as upstream's adapters make them (v1.22), but for their ids: those are made of what has happened, so that an event which is sent again after a crash can be known for the same.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { ObjectSource, PingSource } from "./kinds.ts";

/** Type of a PingSource's events. */
export const pingEventType = "dev.knative.sources.ping";
/** What can happen to an object of the cluster. */
export type ApiServerVerb = "add" | "update" | "delete";
/** What can happen to a file. */
export type ObjectVerb = "created" | "updated" | "deleted";

/** Types of an ApiServerSource's events. */
export function apiServerEventType(mode: "Reference" | "Resource", verb: ApiServerVerb): string {
  return `dev.knative.apiserver.${mode === "Resource" ? "resource" : "ref"}.${verb}`;
}

/** Type of an ObjectSource's events. */
export function objectEventType(verb: ObjectVerb): string {
  return `dev.nodeless.object.${verb}`;
}

export function pingEventSource(namespace: string, name: string): string {
  return `/apis/v1/namespaces/${namespace}/pingsources/${name}`;
}

export function objectEventSource(namespace: string, name: string): string {
  return `/apis/nodeless.dev/v1alpha1/namespaces/${namespace}/objectsources/${name}`;
}

/** The event of one moment of the schedule. */
export function pingEvent({ metadata, spec = {} }: PingSource, dueMs: number): CloudEvent {
  const { uid = "", namespace = "", name = "" } = metadata ?? {};
  const data = spec.dataBase64 ? Buffer.from(spec.dataBase64, "base64") : Buffer.from(spec.data ?? "", "utf8");
  const attributes: [string, AttributeValue][] = [
    ["specversion", "1.0"],
    ["id", `${uid}-${Math.floor(dueMs / 1000)}`],
    ["source", pingEventSource(namespace, name)],
    ["type", pingEventType],
    ["time", formatTime(dueMs)],
  ];
  if (spec.contentType) attributes.push(["datacontenttype", spec.contentType]);
  return data.length === 0 ? { attributes: new Map(attributes) } : { attributes: new Map(attributes), data };
}

/** The event of one change of an object of the cluster. */
export function apiServerEvent(options: {
  readonly source: string;
  /** Of the ApiServerSource. */
  readonly uid: string;
  readonly mode: "Reference" | "Resource";
  readonly verb: ApiServerVerb;
  readonly object: KubeObject;
  /** Name of the object's resource: "pods". */
  readonly resource: string;
}): CloudEvent {
  const { source, uid, mode, verb, object, resource } = options;
  const { apiVersion = "", kind = "", metadata = {} } = object;
  const { name = "", namespace = "" } = metadata;
  const reference = { kind, ...(namespace === "" ? {} : { namespace }), name, apiVersion };
  const attributes = new Map<string, AttributeValue>([
    ["specversion", "1.0"],
    ["id", `${uid}-${metadata.uid ?? name}-${metadata.resourceVersion ?? ""}-${verb}`],
    ["source", source],
    ["type", apiServerEventType(mode, verb)],
    ["subject", `/apis/${apiVersion}/namespaces/${namespace}/${resource}/${name}`],
    ["datacontenttype", "application/json"],
    ["kind", kind],
    ["apiversion", apiVersion],
    ["name", name],
    ["namespace", namespace],
  ]);
  return { attributes, data: Buffer.from(JSON.stringify(mode === "Resource" ? object : reference)) };
}

/** A file or an object of a bucket, as it was found. */
export type FoundObject = {
  readonly key: string;
  readonly sizeBytes: number;
  /** Changes whenever the file does. */
  readonly etag: string;
  readonly modifiedMs: number;
  /** What the event's id is made of. Absent: the etag, which no other file has. */
  readonly identity?: string;
};

/** The event of one file. `content` makes it the event's data. */
export function objectEvent(
  { metadata, spec = {} }: ObjectSource,
  verb: ObjectVerb,
  object: FoundObject,
  content?: { readonly bytes: Uint8Array; readonly type: string },
): CloudEvent {
  const { uid = "", namespace = "", name = "" } = metadata ?? {};
  const { key, sizeBytes, etag, modifiedMs, identity = etag } = object;
  const bucket = spec.bucket ?? spec.s3?.bucket ?? spec.persistentVolumeClaim?.claimName ?? "";
  const facts = { bucket, key, size: sizeBytes, etag, modified: formatTime(modifiedMs) };
  const attributes = new Map<string, AttributeValue>([
    ["specversion", "1.0"],
    ["id", `${uid}-${identity}-${verb}`],
    ["source", objectEventSource(namespace, name)],
    ["type", objectEventType(verb)],
    ["subject", key],
    ["time", formatTime(modifiedMs)],
    ["datacontenttype", content?.type ?? "application/json"],
    ["bucket", bucket],
    ["etag", etag],
  ]);
  return { attributes, data: content?.bytes ?? Buffer.from(JSON.stringify(facts)) };
}

/** Type of a GitSource's events. */
export const gitPushEventType = "dev.nodeless.git.push";

export function gitEventSource(namespace: string, repository: string): string {
  return `/apis/nodeless.dev/v1alpha1/namespaces/${namespace}/repositories/${repository}`;
}

/** A push as its Repository tells of it. */
export type FoundPush = {
  readonly repository: string;
  /** Counts the pushes of the repository. */
  readonly number: number;
  readonly branch: string;
  readonly commit: string;
  /** What the branch was before; absent: it is new. */
  readonly before?: string;
  readonly user?: string;
  readonly timeMs: number;
};

/** The event of one push to one branch. */
export function gitPushEvent({ metadata }: KubeObject, push: FoundPush): CloudEvent {
  const { uid = "", namespace = "" } = metadata ?? {};
  const { repository, number, branch, commit, before, user, timeMs } = push;
  const data = { repository, branch, ref: `refs/heads/${branch}`, commit, before: before ?? null, user: user ?? null };
  const attributes = new Map<string, AttributeValue>([
    ["specversion", "1.0"],
    ["id", `${uid}-${number}-${commit}`],
    ["source", gitEventSource(namespace, repository)],
    ["type", gitPushEventType],
    ["subject", branch],
    ["time", formatTime(timeMs)],
    ["datacontenttype", "application/json"],
    ["commit", commit],
  ]);
  return { attributes, data: Buffer.from(JSON.stringify(data)) };
}
