/**
 * What an outside host tells: that a branch was pushed, or something that does not matter here.
 */
import type { IncomingHttpHeaders } from "node:http";
import { isJsonObject } from "#apimachinery/json.ts";
import type { Webhook } from "#delivery/kinds.ts";
import { HttpFault } from "#delivery/server/http-fault.ts";

/** A branch there is something new of; `isGone`: it was deleted. */
export type PushNotice = { readonly branch: string; readonly isGone: boolean };

const eventHeaders = {
  github: ["x-github-event", "push"],
  gitea: ["x-gitea-event", "push"],
  gitlab: ["x-gitlab-event", "Push Hook"],
} as const;

/** Undefined for what is no push to a branch: pings, tags, issues. Throws {@link HttpFault} for what cannot be read. */
export function noticeOf(
  provider: NonNullable<Webhook["provider"]>,
  headers: IncomingHttpHeaders,
  body: Buffer,
): PushNotice | undefined {
  const [header, push] = eventHeaders[provider];
  if (headers[header] !== push) return undefined;
  const { ref, after } = parse(headers, body);
  if (typeof ref !== "string" || typeof after !== "string")
    throw new HttpFault(400, "the push has no ref or no commit");
  const branch = /^refs\/heads\/(.+)$/.exec(ref)?.[1];
  return branch === undefined ? undefined : { branch, isGone: /^0+$/.test(after) };
}

/** GitHub may send forms with the document in a field. */
function parse(headers: IncomingHttpHeaders, body: Buffer): { readonly ref?: unknown; readonly after?: unknown } {
  const isForm = (headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded");
  const text = isForm ? (new URLSearchParams(body.toString()).get("payload") ?? body.toString()) : body.toString();
  try {
    const found = JSON.parse(text) as unknown;
    if (isJsonObject(found)) return found;
  } catch {
    // said below
  }
  throw new HttpFault(400, "the body is no JSON object");
}
