/**
 * Bootstrap tokens, with which machines join a cluster: `ID.SECRET`, kept in a Secret kube-system/bootstrap-token-ID of type bootstrap.kubernetes.io/token.
 */
import { timingSafeEqual } from "node:crypto";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Clock } from "#component-base/clock.ts";
import type { FindBoundObject } from "./service-account-claims.ts";
import type { TokenAuthenticator, TokenIdentity } from "./token-authenticator.ts";

const form = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const groupForm = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

export class BootstrapTokenAuthenticator implements TokenAuthenticator {
  readonly #find: FindBoundObject;
  readonly #clock: Clock;

  constructor(find: FindBoundObject, clock: Clock) {
    this.#find = find;
    this.#clock = clock;
  }

  async authenticateToken(token: string): Promise<TokenIdentity | undefined> {
    const [, id, secretText] = form.exec(token) ?? [];
    if (!id || !secretText) return undefined;
    const secret = await this.#find("secrets", "kube-system", `bootstrap-token-${id}`);
    if (!secret || secret.metadata?.deletionTimestamp !== undefined) return undefined;
    const data = dataOf(secret);
    const isRight = data["token-id"] === id && isSame(data["token-secret"] ?? "", secretText);
    const isExpired = data["expiration"] !== undefined && !(Date.parse(data["expiration"]) > this.#clock.now());
    if (!isRight || isExpired || data["usage-bootstrap-authentication"] !== "true") return undefined;
    const groups = (data["auth-extra-groups"] ?? "").split(",").filter((group) => groupForm.test(group));
    return { user: { name: `system:bootstrap:${id}`, groups: ["system:bootstrappers", ...groups] } };
  }
}

function dataOf(secret: KubeObject): Readonly<Record<string, string>> {
  const { type, data } = secret as { readonly type?: string; readonly data?: Readonly<Record<string, string>> };
  if (type !== "bootstrap.kubernetes.io/token") return {};
  return Object.fromEntries(
    Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
  );
}

function isSame(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
}
