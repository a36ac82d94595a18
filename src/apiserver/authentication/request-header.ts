/**
 * Users named by a proxy in front: headers X-Remote-User, -Uid, -Group and -Extra-*, believed only from a connection whose certificate the front proxy CA signed.
 */
import type { Authenticator, Credentials, User } from "#apiserver/request.ts";
import type { ClientCertificateVerifier } from "./client-certificate.ts";

const extraPrefix = "x-remote-extra-";

export type RequestHeaderOptions = {
  /** Of the front proxy CA. */
  readonly verifier: ClientCertificateVerifier;
  /** Common names that may speak for others; empty means all that the CA signed. */
  readonly allowedNames: readonly string[];
};

export class RequestHeaderAuthenticator implements Authenticator {
  readonly #options: RequestHeaderOptions;

  constructor(options: RequestHeaderOptions) {
    this.#options = options;
  }

  async authenticate(credentials: Credentials): Promise<{ readonly user: User } | undefined> {
    const { clientCertificate, headers } = credentials;
    const name = valuesOf(headers["x-remote-user"])[0];
    if (!name || !clientCertificate) return undefined;
    const { allowedNames, verifier } = this.#options;
    if (allowedNames.length > 0 && !allowedNames.includes(clientCertificate.commonName)) return undefined;
    if (verifier.verify(clientCertificate.der) === undefined) return undefined;
    const uid = valuesOf(headers["x-remote-uid"])[0];
    const groups = valuesOf(headers["x-remote-group"]);
    return { user: { name, groups, ...(uid ? { uid } : {}), extra: extraOf(headers) } };
  }
}

function extraOf(headers: Credentials["headers"]): Readonly<Record<string, readonly string[]>> {
  const entries = Object.entries(headers)
    .filter(([header]) => header.startsWith(extraPrefix))
    .map(([header, value]) => [decodeKey(header.slice(extraPrefix.length)), valuesOf(value)] as const);
  return Object.fromEntries(entries);
}

/** Keys are percent-encoded, since header names may not hold every character. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function valuesOf(header: string | readonly string[] | undefined): readonly string[] {
  if (header === undefined) return [];
  return typeof header === "string" ? [header] : header;
}
