/**
 * Sends the event of one object, from a folder or a bucket: with the object in it where that is asked for and possible, else with facts about it.
 */
import type { ObjectSource } from "#eventing/sources/kinds.ts";
import { type FoundObject, objectEvent, type ObjectVerb } from "#eventing/sources/source-events.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { deliver, sourceRef, targetOf, withOverrides } from "./deliver.ts";

/** Largest object that an event carries. Of a larger one it tells facts only. */
export const maxContentBytes: number = 8 << 20;

/** What has happened to which object. */
export type ObjectChange = { readonly verb: ObjectVerb; readonly object: FoundObject };

/** An object as data of an event. */
export type ObjectData = { readonly bytes: Uint8Array; readonly type: string };

/** Resolves when it is taken or refused for good. `read` gives the object, undefined when it cannot be had. */
export async function sendObject(
  context: SourceAdaptersContext,
  source: ObjectSource,
  { verb, object }: ObjectChange,
  options: { readonly read: () => Promise<ObjectData | undefined>; readonly signal: AbortSignal },
): Promise<void> {
  const { spec } = source;
  const target = targetOf(source);
  if (target === undefined) return;
  const isWhole = verb !== "deleted" && spec?.mode === "Content" && object.sizeBytes <= maxContentBytes;
  const content = isWhole ? await options.read() : undefined;
  const send = (data?: ObjectData) => {
    const event = withOverrides(objectEvent(source, verb, object, data), spec?.ceOverrides);
    return deliver(context, { event, target, source: sourceRef("objectsource", source), signal: options.signal });
  };
  const outcome = await send(content);
  // Too large for the sink: it gets to know of it at least.
  if (content !== undefined && outcome.kind === "refused" && outcome.status === 413) await send();
}
