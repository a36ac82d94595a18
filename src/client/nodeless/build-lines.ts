/**
 * What the newest build of a Function says: its log is a ConfigMap, written anew as it grows.
 */
import { buildLogName } from "#api/nodeless/function.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";

export type BuildLog = KubeObject & { readonly data?: { readonly log?: string } };

/** Where the log of a function's builds is. */
export function buildLogOf(namespace: string, name: string): ResourceRef {
  return { resource: { group: "", version: "v1", resource: "configmaps" }, namespace, name: buildLogName(name) };
}

/** The version of the function's build log now; undefined when there is none. */
export async function buildLogVersion(client: Client, namespace: string, name: string): Promise<string | undefined> {
  return (await findObject<BuildLog>(client, buildLogOf(namespace, name)))?.metadata?.resourceVersion;
}

/** Says what is new of a build log. */
export class BuildLines {
  readonly #versionBefore: string | undefined;
  readonly #say: (line: string) => void;
  #said = "";

  constructor(versionBefore: string | undefined, say: (line: string) => void) {
    this.#versionBefore = versionBefore;
    this.#say = say;
  }

  take(log: BuildLog | undefined): undefined {
    if (log === undefined || log.metadata?.resourceVersion === this.#versionBefore) return;
    const text = log.data?.log ?? "";
    const fresh = text.startsWith(this.#said) ? text.slice(this.#said.length) : text;
    this.#said = text;
    // What went wrong is said at the end.
    for (const line of fresh.split("\n")) if (line !== "" && !line.startsWith("error: ")) this.#say(line);
  }
}
