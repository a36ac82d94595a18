/**
 * Service account tokens: makes them and proves them. A signature is checked once per token and remembered; that its objects still exist is checked at every use, so a token dies
 * at once with its pod (upstream remembers the whole answer for ten seconds).
 */
import { createPrivateKey, hash, type KeyObject } from "node:crypto";
import type { Clock } from "#component-base/clock.ts";
import {
  type DecodedJwt,
  decodeJwt,
  isSignedBy,
  signJwt,
  toJwk,
  type VerificationKey,
  verificationKey,
} from "./jwt.ts";
import {
  checkTimes,
  type FindBoundObject,
  type LegacyClaims,
  resolveClaims,
  resolveLegacyClaims,
  type ServiceAccountClaims,
  TokenRefused,
} from "./service-account-claims.ts";
import type { TokenAuthenticator, TokenIdentity } from "./token-authenticator.ts";
import { serviceAccountUserName } from "./well-known.ts";

/** How a cluster's tokens are made. */
export type ServiceAccountTokenOptions = {
  /** https URL, `iss` of new tokens. Default in Kubernetes: https://kubernetes.default.svc.cluster.local. */
  readonly issuer: string;
  /** Audiences that the API server itself answers to. Default: the issuer. */
  readonly apiAudiences?: readonly string[];
  /** PEM. */
  readonly signingKey: string;
  /** PEM; keys of older tokens that are still good. */
  readonly olderKeys?: readonly string[];
  readonly findObject: FindBoundObject;
  readonly clock: Clock;
};

const legacyIssuer = "kubernetes/serviceaccount";
/** How many proven tokens are remembered. */
const rememberedTokens = 4096;

/** Makes and proves the tokens of service accounts. */
export class ServiceAccountTokens implements TokenAuthenticator {
  readonly issuer: string;
  readonly apiAudiences: readonly string[];
  readonly #privateKey: KeyObject;
  readonly #keys: readonly VerificationKey[];
  readonly #find: FindBoundObject;
  readonly #clock: Clock;
  readonly #proven = new Map<string, DecodedJwt>();

  constructor(options: ServiceAccountTokenOptions) {
    this.issuer = options.issuer;
    this.apiAudiences = options.apiAudiences ?? [options.issuer];
    this.#privateKey = createPrivateKey(options.signingKey);
    this.#keys = [options.signingKey, ...(options.olderKeys ?? [])].map((key) => verificationKey(key));
    this.#find = options.findObject;
    this.#clock = options.clock;
  }

  /** Signs claims as they are. */
  sign(claims: Omit<ServiceAccountClaims, "iss"> | Omit<LegacyClaims, "iss">): string {
    const iss = "aud" in claims ? this.issuer : legacyIssuer;
    const sorted = Object.entries({ ...claims, iss }).sort(([a], [b]) => (a < b ? -1 : 1));
    return signJwt(Object.fromEntries(sorted), this.#privateKey, this.#keys[0] as VerificationKey);
  }

  /** The token that a Secret of type kubernetes.io/service-account-token holds. */
  signLegacy(
    account: { readonly namespace: string; readonly name: string; readonly uid: string },
    secretName: string,
  ): string {
    return this.sign({
      "kubernetes.io/serviceaccount/namespace": account.namespace,
      "kubernetes.io/serviceaccount/secret.name": secretName,
      "kubernetes.io/serviceaccount/service-account.name": account.name,
      "kubernetes.io/serviceaccount/service-account.uid": account.uid,
      sub: serviceAccountUserName(account.namespace, account.name),
    });
  }

  /** The public keys as a JWK set's entries. */
  publicKeys(): readonly Readonly<Record<string, unknown>>[] {
    return this.#keys.map(toJwk);
  }

  /** The user of one of our tokens; undefined for tokens of others. Throws {@link TokenRefused}. */
  async authenticateToken(
    token: string,
    audiences: readonly string[] = this.apiAudiences,
  ): Promise<TokenIdentity | undefined> {
    const decoded = this.#proven.get(keyOf(token)) ?? decodeJwt(token);
    const issuer = decoded?.claims["iss"];
    if (!decoded || (issuer !== this.issuer && issuer !== legacyIssuer)) return undefined;
    this.#prove(token, decoded);
    const nowMs = this.#clock.now();
    checkTimes(decoded.claims, nowMs);
    const granted = matchAudiences(audiencesOf(decoded, this.apiAudiences), audiences);
    const user =
      issuer === legacyIssuer
        ? await resolveLegacyClaims(decoded.claims as unknown as LegacyClaims, token, this.#find, nowMs)
        : await resolveClaims(decoded.claims as unknown as ServiceAccountClaims, this.#find, nowMs);
    return { user, audiences: granted };
  }

  #prove(token: string, decoded: DecodedJwt): void {
    const key = keyOf(token);
    if (this.#proven.has(key)) return;
    if (!isSignedBy(decoded, this.#keys)) throw new TokenRefused("invalid signature, no keys found");
    const oldest = this.#proven.keys().next().value;
    if (this.#proven.size >= rememberedTokens && oldest !== undefined) this.#proven.delete(oldest);
    this.#proven.set(key, decoded);
  }
}

/** Not the token itself: what stays in memory should be of no use to whoever reads it. */
function keyOf(token: string): string {
  return hash("sha256", token, "base64url");
}

function audiencesOf(token: DecodedJwt, fallback: readonly string[]): readonly string[] {
  const { aud } = token.claims;
  if (typeof aud === "string") return [aud];
  return Array.isArray(aud) && aud.length > 0 ? aud.filter((item) => typeof item === "string") : fallback;
}

function matchAudiences(given: readonly string[], wanted: readonly string[]): readonly string[] {
  const both = given.filter((audience) => wanted.includes(audience));
  if (both.length > 0) return both;
  const show = (list: readonly string[]) => `[${list.map((item) => JSON.stringify(item)).join(" ")}]`;
  throw new TokenRefused(`token audiences ${show(given)} is invalid for the target audiences ${show(wanted)}`);
}
