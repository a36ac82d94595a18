/**
 * Whether a request comes from the Git host that it says it comes from: by a signature of its body (GitHub, Gitea) or by the secret itself (GitLab). Comparing takes the same time
 * wherever the two differ.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Webhook } from "#delivery/kinds.ts";

/** `body` as it came, byte for byte. */
export function isGenuine(
  provider: NonNullable<Webhook["provider"]>,
  { headers, body, secret }: { readonly headers: IncomingHttpHeaders; readonly body: Buffer; readonly secret: string },
): boolean {
  if (secret === "") return false;
  const hmac = () => createHmac("sha256", secret).update(body).digest("hex");
  switch (provider) {
    case "github":
      return isSame(headers["x-hub-signature-256"], `sha256=${hmac()}`);
    case "gitea":
      return isSame(headers["x-gitea-signature"], hmac());
    case "gitlab":
      return isSame(headers["x-gitlab-token"], secret);
  }
}

function isSame(given: string | string[] | undefined, wanted: string): boolean {
  if (typeof given !== "string") return false;
  // Of hashes, because lengths would tell something.
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}
