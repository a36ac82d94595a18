/**
 * Finding out which image a tag means now, so that all pods of a revision run the same one.
 */

/** Whose rights an image is asked for with. */
export type PullIdentity = {
  readonly namespace: string;
  readonly serviceAccountName: string;
  readonly imagePullSecrets: readonly string[];
};

/** Resolves images. Filled by whoever knows registries and the machine's own images. */
export interface ImageResolver {
  /** The image by its digest ("registry/name@sha256:…"), or undefined when it is to be run as it is named. Throws an Error that says why it cannot be had. */
  resolve(image: string, identity: PullIdentity, signal: AbortSignal): Promise<string | undefined>;
}
