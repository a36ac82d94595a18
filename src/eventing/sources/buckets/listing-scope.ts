/**
 * What of a bucket a source is about, and how little of it has to be listed for that.
 */
import { compileKeyPattern } from "#eventing/sources/key-pattern.ts";
import type { ObjectSourceSpec } from "#eventing/sources/kinds.ts";

/** Keys of interest, and the list that has all of them. */
export type ListingScope = {
  readonly prefix: string;
  /** Nothing behind a further slash is of interest. */
  readonly isFlat: boolean;
  readonly wants: (key: string) => boolean;
};

/** The pattern is about what follows the prefix. Names that end with a slash are folders of consoles, and no objects. */
export function listingScope({ s3, pattern = "" }: ObjectSourceSpec): ListingScope {
  const prefix = s3?.prefix ?? "";
  const matches = compileKeyPattern(pattern);
  const [fixed = ""] = /^[^*?]*/.exec(pattern) ?? [];
  const isFlat = pattern !== "" && !pattern.includes("**") && !pattern.slice(fixed.length).includes("/");
  return {
    prefix: prefix + fixed,
    isFlat,
    wants: (key) => key.startsWith(prefix) && !key.endsWith("/") && matches(key.slice(prefix.length)),
  };
}
