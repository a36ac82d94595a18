/**
 * Joins the ways to prove who asks into one: front proxy, client certificate, tokens, then nobody (anonymous). A wrong credential is refused, a missing one is anonymous.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import type { Authenticator, Credentials, User } from "#apiserver/request.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { ClientCertificateAuthenticator, ClientCertificateVerifier } from "./client-certificate.ts";
import { RequestHeaderAuthenticator } from "./request-header.ts";
import { BearerTokenAuthenticator, type TokenAuthenticator } from "./token-authenticator.ts";
import { groupAuthenticated, groupUnauthenticated, userAnonymous } from "./well-known.ts";

export type AuthenticationOptions = {
  /** PEM: who signs users' certificates. */
  readonly clientCa: string;
  /** PEM: who signs the certificates of proxies that name users in headers. Absent: no proxies. */
  readonly frontProxyCa?: string;
  /** Service account tokens, bootstrap tokens, … as one ({@link anyToken}). */
  readonly tokens: TokenAuthenticator;
  /** Whether a request without credentials is the user system:anonymous, who by RBAC sees health and version only. Otherwise it is refused. */
  readonly allowsAnonymous: boolean;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The API server's authenticator. */
export function createAuthenticator(options: AuthenticationOptions): Authenticator {
  const { clock } = options;
  const frontProxy =
    options.frontProxyCa === undefined ? [] : [new ClientCertificateVerifier(options.frontProxyCa, clock)];
  const ways: readonly Authenticator[] = [
    ...frontProxy.map((verifier) => new RequestHeaderAuthenticator({ verifier, allowedNames: ["front-proxy-client"] })),
    new ClientCertificateAuthenticator(new ClientCertificateVerifier(options.clientCa, clock)),
    new BearerTokenAuthenticator(options.tokens),
  ];
  return new UnionAuthenticator(ways, options);
}

class UnionAuthenticator implements Authenticator {
  readonly #ways: readonly Authenticator[];
  readonly #options: AuthenticationOptions;

  constructor(ways: readonly Authenticator[], options: AuthenticationOptions) {
    this.#ways = ways;
    this.#options = options;
  }

  async authenticate(
    credentials: Credentials,
  ): Promise<{ readonly user: User; readonly audiences?: readonly string[] }> {
    for (const way of this.#ways) {
      const found = await this.#ask(way, credentials);
      if (found) return { ...found, user: withAuthenticatedGroup(found.user) };
    }
    const hasCredential = credentials.bearerToken !== undefined || credentials.clientCertificate !== undefined;
    if (hasCredential || !this.#options.allowsAnonymous) throw unauthorized();
    return { user: { name: userAnonymous, groups: [groupUnauthenticated] } };
  }

  /** A way that fails does not hide another that succeeds; why it failed is for the log only. */
  async #ask(way: Authenticator, credentials: Credentials): ReturnType<Authenticator["authenticate"]> {
    try {
      return await way.authenticate(credentials);
    } catch (error) {
      this.#options.log.warn("Refused a credential", { error: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  }
}

/** 401, with upstream's message. */
export function unauthorized(): StatusError {
  return new StatusError({ reason: "Unauthorized", code: 401, message: "Unauthorized" });
}

function withAuthenticatedGroup(user: User): User {
  if (user.groups.includes(groupAuthenticated) || user.groups.includes(groupUnauthenticated)) return user;
  return { ...user, groups: [...user.groups, groupAuthenticated] };
}
