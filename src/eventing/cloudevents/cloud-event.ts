/**
 * A CloudEvent 1.0 as all of eventing handles it: attributes apart from data, and the data as the bytes that came, whatever they hold. Codecs of the HTTP binding make it and read it.
 */

/** A context attribute's value. Binary mode carries strings only; structured mode may bring integers and booleans, which filters tell apart. */
export type AttributeValue = string | number | boolean;

/** One event. */
export type CloudEvent = {
  /** Required ones (`id`, `source`, `specversion`, `type`), optional ones and extensions, by their lower-case names. A Map: names are a stranger's. */
  readonly attributes: ReadonlyMap<string, AttributeValue>;
  /** The payload as it travels under `datacontenttype`; absent when the event has none. */
  readonly data?: Uint8Array;
};
