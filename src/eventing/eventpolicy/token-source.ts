/**
 * Tokens of service accounts, each for one audience (TokenRequest), kept until shortly before their time is over. As upstream's `pkg/auth/token_provider.go` (v1.22): an hour, asked for anew five minutes before its end.
 */
import type { TokenRequest } from "#api/generated/types/authentication-v1.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { TokenSource } from "#eventing/dispatcher/sender.ts";

const lifetimeSeconds = 3600;
const spareMs = 300_000;
const mostTokens = 10_000;
/** Who is refused that often with fresh tokens is refused for another reason. */
const freshMs = 5000;
const serviceAccounts = { group: "", version: "v1", resource: "serviceaccounts" };

type Kept = { readonly token: string; readonly untilMs: number; readonly sinceMs: number };

/** Asks the API server. Who asks for the same meanwhile gets the same. */
export function createTokenSource(client: Client, clock: Clock): TokenSource {
  const kept = new Map<string, Kept>();
  const asked = new Map<string, Promise<string>>();
  const keyOf: (...of: Parameters<TokenSource["get"]>) => string = ({ namespace, name }, audience) =>
    `${namespace}/${name}/${audience}`;

  async function ask(...of: Parameters<TokenSource["get"]>): Promise<string> {
    const [{ namespace, name }, audience] = of;
    const request: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences: [audience], expirationSeconds: lifetimeSeconds },
    };
    const ref = { resource: serviceAccounts, namespace, name, subresource: "token" };
    const { status } = await client.create<TokenRequest>(ref, request);
    const { token = "", expirationTimestamp = "" } = status ?? {};
    const key = keyOf(...of);
    kept.delete(key);
    kept.set(key, { token, untilMs: Date.parse(expirationTimestamp) - spareMs, sinceMs: clock.now() });
    const [oldest] = kept.keys();
    if (kept.size > mostTokens && oldest !== undefined) kept.delete(oldest);
    return token;
  }

  return {
    async get(...of) {
      const key = keyOf(...of);
      const known = kept.get(key);
      if (known !== undefined && known.untilMs > clock.now()) return known.token;
      const asking = asked.get(key) ?? ask(...of).finally(() => asked.delete(key));
      asked.set(key, asking);
      return await asking;
    },
    forget(...of) {
      const known = kept.get(keyOf(...of));
      if (known === undefined || clock.now() - known.sinceMs < freshMs) return false;
      kept.delete(keyOf(...of));
      return true;
    },
  };
}
