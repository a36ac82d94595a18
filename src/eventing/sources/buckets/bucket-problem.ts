/**
 * Why a bucket cannot be looked at, in the words of the condition that its source gets.
 */

/** What is to be told apart by whoever reads the condition. */
export type BucketReason =
  | "SecretNotFound"
  | "SecretIncomplete"
  | "AccessDenied"
  | "NoSuchBucket"
  | "WrongRegion"
  | "Unreachable"
  | "ServiceError"
  | "BadAnswer"
  | "TooManyObjects";

/** A bucket that cannot be looked at. */
export class BucketProblem extends Error {
  readonly kind = "BucketProblem";
  readonly reason: BucketReason;

  constructor(reason: BucketReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
