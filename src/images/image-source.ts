/**
 * Where an image can be pulled from: one repository of a registry, over the network or on this machine.
 */
import type { Readable } from "node:stream";

/** Gives manifests and blobs. */
export interface ImageSource {
  /** A manifest or an index, by tag or digest. Throws RegistryError. */
  manifest(reference: string, signal: AbortSignal): Promise<Buffer>;
  /** A blob's bytes from `offset` on; `start` says where they really begin, which may be before. Throws RegistryError. */
  blob(
    digest: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ readonly body: Readable; readonly start: number }>;
  /** Puts the blob into the machine's store without a copy; false where that cannot be done. Absent: it never can. */
  bringBlob?(digest: string): Promise<boolean>;
}
