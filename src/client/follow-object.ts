/**
 * Hears of one object until something can be said of it: a list, and then a watch from there, as often as the server ends one. Nothing is polled.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { notFound } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "./client.ts";

export type FollowOptions<T extends KubeObject, R> = {
  readonly decide: (object: T) => R | undefined;
  readonly signal: AbortSignal;
  /** It is waited for one that is not there, or is there no more. Default: that is an end, NotFound. */
  readonly mayBeAbsent?: boolean;
};

/** Resolves with what `decide` gives first. Rejects with what it throws, the server's errors, and the signal's reason. */
export async function followObject<T extends KubeObject, R>(
  client: Client,
  { resource, namespace, name = "" }: ResourceRef,
  options: FollowOptions<T, R>,
): Promise<R> {
  const { decide, signal, mayBeAbsent = false } = options;
  for (;;) {
    signal.throwIfAborted();
    const selection = { fieldSelector: `metadata.name=${name}` };
    const ref = { resource, ...(namespace === undefined ? {} : { namespace }) };
    const { items, metadata } = await client.list<T>(ref, { ...selection, signal });
    if (items.length === 0 && !mayBeAbsent) throw notFound({ ...resource, name });
    for (const item of items) {
      const end = decide(item);
      if (end !== undefined) return end;
    }
    const from = metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion };
    for await (const event of await client.watch<T>(ref, { ...selection, ...from, signal })) {
      if (event.type === "DELETED" && !mayBeAbsent) throw notFound({ ...resource, name });
      const end = event.type === "ADDED" || event.type === "MODIFIED" ? decide(event.object) : undefined;
      if (end !== undefined) return end;
    }
  }
}
