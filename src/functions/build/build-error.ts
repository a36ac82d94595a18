/**
 * Why a build failed: whose fault it is, in one word for a condition, and in the tool's own words.
 */

/** What a build came to grief over. The first two the author can put right, "Unavailable" may pass by itself. */
export type BuildFailure = {
  readonly stage: "source" | "build" | "push";
  /** CamelCase: "DoesNotCompile", "GitFailed", "TimedOut". */
  readonly reason: string;
  readonly message: string;
  readonly isPassing: boolean;
};

/** A build that failed. */
export class BuildError extends Error {
  readonly kind = "BuildError";
  readonly failure: BuildFailure;

  constructor(failure: Omit<BuildFailure, "isPassing"> & { readonly isPassing?: boolean }, options?: ErrorOptions) {
    super(failure.message, options);
    this.failure = { isPassing: false, ...failure };
  }
}
