/**
 * Bearer tokens: the contract of what proves one, and the authenticator that takes them from a request.
 */
import type { Authenticator, Credentials, User } from "#apiserver/request.ts";

/** Whom a token stands for, and for which of the asked audiences. */
export type TokenIdentity = { readonly user: User; readonly audiences?: readonly string[] };

/** Proves tokens of one sort. */
export interface TokenAuthenticator {
  /** The token's user; undefined when it is of another sort. Throws when it is of this sort and wrong. Absent `audiences` are the API server's own. */
  authenticateToken(token: string, audiences?: readonly string[]): Promise<TokenIdentity | undefined>;
}

/** Asks each in turn. The first that knows the token gives the answer; an error is thrown only when none does. */
export function anyToken(authenticators: readonly TokenAuthenticator[]): TokenAuthenticator {
  return {
    async authenticateToken(token, audiences) {
      let failure: unknown;
      for (const authenticator of authenticators) {
        try {
          const identity = await authenticator.authenticateToken(token, audiences);
          if (identity) return identity;
        } catch (error) {
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return undefined;
    },
  };
}

/** Takes the token from a request's `Authorization: Bearer`. */
export class BearerTokenAuthenticator implements Authenticator {
  readonly #tokens: TokenAuthenticator;

  constructor(tokens: TokenAuthenticator) {
    this.#tokens = tokens;
  }

  async authenticate(credentials: Credentials): Promise<TokenIdentity | undefined> {
    const token = credentials.bearerToken?.trim();
    return token ? this.#tokens.authenticateToken(token) : undefined;
  }
}
