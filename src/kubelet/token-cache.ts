/**
 * Tokens for pods by TokenRequest, bound to the pod, asked for again when 80 % of their life is over or after a day. As pkg/kubelet/token.
 */
import type { TokenRequest } from "#api/generated/types/authentication-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { ServiceAccountToken, TokenRequestSpec } from "./pod-objects.ts";

const dayMs = 24 * 3_600_000;

type Entry = { readonly token: ServiceAccountToken; readonly issuedMs: number };

/** One token per pod, audience and life. */
export class TokenCache {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Entry>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** A token that is good for a while yet. When a new one cannot be had, the old one as long as it holds. */
  async token(pod: Pod, spec: TokenRequestSpec): Promise<ServiceAccountToken> {
    const key = `${pod.metadata?.uid ?? ""}/${spec.expirationSeconds}/${spec.audiences.join(",")}`;
    const known = this.#tokens.get(key);
    const nowMs = this.#clock.now();
    if (known && nowMs < renewAtMs(known.token, known.issuedMs)) return known.token;
    try {
      const token = await this.#request(pod, spec);
      this.#tokens.set(key, { token, issuedMs: nowMs });
      return token;
    } catch (error) {
      if (known && known.token.expiresMs > nowMs) return known.token;
      throw error;
    }
  }

  /** The pod is gone. */
  forget(uid: string): void {
    for (const key of this.#tokens.keys()) if (key.startsWith(`${uid}/`)) this.#tokens.delete(key);
  }

  /** None of them is good any more. */
  forgetAll(): void {
    this.#tokens.clear();
  }

  async #request(pod: Pod, { audiences, expirationSeconds }: TokenRequestSpec): Promise<ServiceAccountToken> {
    const { name = "", namespace = "", uid = "" } = pod.metadata ?? {};
    const resource = { group: "", version: "v1", resource: "serviceaccounts" };
    const account = pod.spec?.serviceAccountName || "default";
    const request: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences, expirationSeconds, boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } },
    };
    const { status } = await this.#client.create<TokenRequest>(
      { resource, namespace, name: account, subresource: "token" },
      request,
    );
    if (!status?.token) throw new Error(`no token for service account ${namespace}/${account}`);
    return { token: status.token, expiresMs: Date.parse(status.expirationTimestamp ?? "") };
  }
}

/** When to ask for the next token, in ms since 1970. */
export function renewAtMs(token: ServiceAccountToken, issuedMs: number): number {
  const lifeMs = token.expiresMs - issuedMs;
  return Math.min(issuedMs + lifeMs * 0.8, issuedMs + dayMs);
}
