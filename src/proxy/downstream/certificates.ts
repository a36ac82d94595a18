/**
 * Certificates by name, and which of them a client is shown: the one whose names fit what it asked for by SNI. Replacing one concerns new connections only.
 */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { CertificateConfig, ListenerTls } from "#proxy/config/listener.ts";

type Known = { readonly config: CertificateConfig; readonly names: readonly string[] };

export class Certificates {
  readonly #known = new Map<string, Known>();
  /** By certificate and what a listener wants beside it. */
  readonly #contexts = new Map<string, SecureContext>();

  set(config: CertificateConfig): void {
    this.#known.set(config.name, { config, names: namesOf(config.certificate) });
    this.#forgetContexts(config.name);
  }

  remove(name: string): void {
    this.#known.delete(name);
    this.#forgetContexts(name);
  }

  /** The certificate for clients that ask for no name. */
  first(tls: ListenerTls): CertificateConfig | undefined {
    const name = tls.certificates.find((candidate) => this.#known.has(candidate));
    return name === undefined ? undefined : this.#known.get(name)?.config;
  }

  /** What a client that asks for `serverName` is shown; undefined when the listener has no certificate. */
  find(tls: ListenerTls, serverName: string): SecureContext | undefined {
    const candidates = tls.certificates.filter((name) => this.#known.has(name));
    const fits = (test: (host: string) => boolean) =>
      candidates.find((name) => this.#known.get(name)?.names.some(test) === true);
    const asked = serverName.toLowerCase();
    const name = fits((host) => host === asked) ?? fits((host) => isWildcardOf(host, asked)) ?? candidates[0];
    return name === undefined ? undefined : this.#contextOf(name, tls);
  }

  #contextOf(name: string, tls: ListenerTls): SecureContext {
    const key = `${name}\0${tls.minVersion ?? ""}\0${tls.clientCa ?? ""}`;
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    const { certificate, privateKey } = (this.#known.get(name) as Known).config;
    const context = createSecureContext({
      cert: certificate,
      key: privateKey,
      minVersion: tls.minVersion ?? "TLSv1.2",
      ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa }),
    });
    this.#contexts.set(key, context);
    return context;
  }

  #forgetContexts(name: string): void {
    for (const key of this.#contexts.keys()) if (key.startsWith(`${name}\0`)) this.#contexts.delete(key);
  }
}

function namesOf(certificate: string): readonly string[] {
  const names = new X509Certificate(certificate).subjectAltName ?? "";
  return names
    .split(", ")
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice(4).toLowerCase());
}

/** A wildcard stands for one label (RFC 6125 6.4.3). */
function isWildcardOf(name: string, host: string): boolean {
  return name.startsWith("*.") && host.indexOf(".") > 0 && host.slice(host.indexOf(".")) === name.slice(1);
}
