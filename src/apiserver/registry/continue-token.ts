/**
 * The `continue` token of paged lists: where the next page starts and of which revision it is. Same form as upstream's, so that a token says nothing that a client could not have.
 */
import { badRequest, StatusError } from "#apimachinery/status-error.ts";

/** A token's content. `startKey` is relative to the list's prefix. A negative revision asks for whatever is newest. */
export type ContinueToken = { readonly revision: number; readonly startKey: string };

/** Makes a token. */
export function encodeContinue(token: ContinueToken): string {
  const json = JSON.stringify({ v: "meta.k8s.io/v1", rv: token.revision, start: token.startKey });
  return Buffer.from(json).toString("base64url");
}

/** Reads a token. Throws BadRequest. */
export function decodeContinue(text: string): ContinueToken {
  const value = parse(text);
  const { v, rv, start } = value as { v?: unknown; rv?: unknown; start?: unknown };
  if (v !== "meta.k8s.io/v1") throw invalidToken(`server does not recognize this encoded version ${String(v ?? "")}`);
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0) {
    throw invalidToken("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (typeof start !== "string" || start === "") throw invalidToken("encoded start key empty (version meta.k8s.io/v1)");
  if (start.split("/").some((part) => part === ".." || part === ".")) throw invalidToken(start);
  return { revision: rv, startKey: start };
}

/** 410 for a page whose revision is gone, with the token that goes on in the newest state. */
export function expiredContinue(startKey: string): StatusError {
  const message =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
  return new StatusError({
    reason: "Expired",
    code: 410,
    message,
    continueToken: encodeContinue({ revision: -1, startKey }),
  });
}

function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw invalidToken("");
}

function invalidToken(detail: string): StatusError {
  return badRequest(`invalid continue token: continue key is not valid${detail === "" ? "" : `: ${detail}`}`);
}
