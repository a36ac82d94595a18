/**
 * Finds out whose a token is, by the API server's own word (TokenReview), and remembers the answer for a while: events come faster than reviews are answered.
 */
import { createHash } from "node:crypto";
import type { TokenReview } from "#api/generated/types/authentication-v1.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";

const rememberedMs = 60_000;
const mostRemembered = 10_000;
const tokenReviews = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };

type Known = { readonly subject: string | undefined; readonly untilMs: number };

/** Whose the token is, if it is valid and meant for the audience; else undefined. Rejects when the API server does not answer. */
export function createTokenVerifier(
  client: Client,
  clock: Clock,
): (token: string, audience: string) => Promise<string | undefined> {
  // By a hash: tokens are kept nowhere.
  const known = new Map<string, Known>();
  return async (token, audience) => {
    const key = createHash("sha256").update(`${audience}\n${token}`).digest("base64");
    const found = known.get(key);
    if (found !== undefined && found.untilMs > clock.now()) return found.subject;
    const review: TokenReview = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    };
    const { status } = await client.create<TokenReview>({ resource: tokenReviews }, review);
    const isValid = status?.authenticated === true && (status.audiences ?? []).includes(audience);
    const subject = isValid ? status.user?.username : undefined;
    known.delete(key);
    known.set(key, { subject, untilMs: clock.now() + rememberedMs });
    const [oldest] = known.keys();
    if (known.size > mostRemembered && oldest !== undefined) known.delete(oldest);
    return subject;
  };
}
