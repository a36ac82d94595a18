/**
 * Tokens of browsers, which cannot send an Authorization header with a WebSocket: they name it as a sub-protocol `base64url.bearer.authorization.k8s.io.TOKEN`.
 */
const prefix = "base64url.bearer.authorization.k8s.io.";

/** The token that a Sec-WebSocket-Protocol header carries, and the header without it: the token must never be echoed. Undefined when it carries none or a broken one. */
export function takeWebSocketBearer(
  protocols: string,
): { readonly bearerToken: string; readonly protocols: readonly string[] } | undefined {
  const all = protocols.split(",").map((protocol) => protocol.trim());
  const carrier = all.find((protocol) => protocol.startsWith(prefix));
  const others = all.filter((protocol) => protocol !== carrier && protocol !== "");
  // Upstream refuses a token without another sub-protocol: there would be nothing to agree on.
  if (carrier === undefined || others.length === 0) return undefined;
  const encoded = carrier.slice(prefix.length);
  if (!/^[A-Za-z0-9_-]+$/.test(encoded)) return undefined;
  return { bearerToken: Buffer.from(encoded, "base64url").toString("utf8"), protocols: others };
}
