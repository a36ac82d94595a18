/**
 * Users by client certificate: the common name is the user, the organisations are its groups. The certificate must be signed by the cluster's client CA and be meant for clients:
 * TLS lets several CAs in, and the CA signs servers' certificates too.
 */
import { hash, type KeyObject, X509Certificate } from "node:crypto";
import type { Authenticator, Credentials, User } from "#apiserver/request.ts";
import type { Clock } from "#component-base/clock.ts";
import { extraKey } from "./well-known.ts";

const clientAuthUsage = "1.3.6.1.5.5.7.3.2";

/** What is known of a certificate that a CA of ours signed. */
type Verified = { readonly fingerprint: string; readonly notBeforeMs: number; readonly notAfterMs: number };

/** Checks client certificates against one set of CAs. A connection's certificate is checked once: the answer hangs on its bytes' object. */
export class ClientCertificateVerifier {
  readonly #authorities: readonly { readonly certificate: X509Certificate; readonly publicKey: KeyObject }[];
  readonly #clock: Clock;
  readonly #known = new WeakMap<Uint8Array, Verified | "foreign">();

  /** `authorities` is one or more CA certificates, PEM. */
  constructor(authorities: string, clock: Clock) {
    this.#authorities = (authorities.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [])
      .map((pem) => new X509Certificate(pem))
      .map((certificate) => ({ certificate, publicKey: certificate.publicKey }));
    this.#clock = clock;
  }

  /** The certificate's SHA-256 in hex; undefined when it is not ours, not for clients, or not valid now. */
  verify(certificate: Uint8Array): string | undefined {
    let known = this.#known.get(certificate);
    if (known === undefined) this.#known.set(certificate, (known = this.#check(certificate)));
    const now = this.#clock.now();
    return known !== "foreign" && known.notBeforeMs <= now && now <= known.notAfterMs ? known.fingerprint : undefined;
  }

  #check(bytes: Uint8Array): Verified | "foreign" {
    const certificate = new X509Certificate(bytes);
    const isOurs = this.#authorities.some(
      (authority) => certificate.checkIssued(authority.certificate) && certificate.verify(authority.publicKey),
    );
    // `keyUsage` is the extended key usage in node:crypto; undefined when the certificate has none, which upstream refuses too.
    if (!isOurs || certificate.ca || !certificate.keyUsage?.includes(clientAuthUsage)) return "foreign";
    return {
      fingerprint: hash("sha256", bytes, "hex"),
      notBeforeMs: certificate.validFromDate.getTime(),
      notAfterMs: certificate.validToDate.getTime(),
    };
  }
}

/** Users by certificate. */
export class ClientCertificateAuthenticator implements Authenticator {
  readonly #verifier: ClientCertificateVerifier;

  constructor(verifier: ClientCertificateVerifier) {
    this.#verifier = verifier;
  }

  async authenticate(credentials: Credentials): Promise<{ readonly user: User } | undefined> {
    const { clientCertificate } = credentials;
    if (!clientCertificate || clientCertificate.commonName === "") return undefined;
    const fingerprint = this.#verifier.verify(clientCertificate.der);
    if (fingerprint === undefined) return undefined;
    return {
      user: {
        name: clientCertificate.commonName,
        groups: clientCertificate.organizations,
        extra: { [extraKey.credentialId]: [`X509SHA256=${fingerprint}`] },
      },
    };
  }
}
