/**
 * How large a message's parts may be. What is larger is refused before it is kept.
 */

/** Bounds of one message's head, its chunk lines and its trailers. */
export type MessageLimits = {
  /** Longest start line, in bytes. Default 16 KiB; longer requests get 414. */
  readonly startLineBytes: number;
  /** Largest head or trailer section, in bytes. Default 60 KiB, as Envoy; larger requests get 431. */
  readonly headBytes: number;
  /** Most fields in a head or trailer section. Default 100, as Envoy; more get 431. */
  readonly fields: number;
  /** Longest chunk-size line with its extensions, in bytes. Default 256. */
  readonly chunkLineBytes: number;
  /** Bytes of chunk extensions in one whole message. Default 16 KiB, as Node: they are work without progress. */
  readonly chunkExtensionBytes: number;
};

export const defaultLimits: MessageLimits = {
  startLineBytes: 16 * 1024,
  headBytes: 60 * 1024,
  fields: 100,
  chunkLineBytes: 256,
  chunkExtensionBytes: 16 * 1024,
};
