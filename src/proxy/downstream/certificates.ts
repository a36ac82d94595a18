/**
 * Certificates by name, and which of them a client is shown: the one whose names fit what it asked for by SNI. Replacing one concerns new connections only.
 */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { CertificateConfig, ListenerTls } from "#proxy/config/listener.ts";

type Known = { readonly config: CertificateConfig; readonly names: readonly string[] };

export class Certificates {
  readonly #known = new Map<string, Known>();
  /** Certificates by the hosts that they are for; made when it is needed, and anew after a change. */
  #byHost: ReadonlyMap<string, string> | undefined;
  /** By certificate and what a listener wants beside it. */
  readonly #contexts = new Map<string, SecureContext>();

  set(config: CertificateConfig): void {
    this.#known.set(config.name, { config, names: namesOf(config.certificate) });
    this.#forget(config.name);
  }

  remove(name: string): void {
    this.#known.delete(name);
    this.#forget(name);
  }

  configOf(name: string): CertificateConfig | undefined {
    return this.#known.get(name)?.config;
  }

  /** The certificate for clients that ask for no name. */
  first(tls: ListenerTls): CertificateConfig | undefined {
    const name = tls.certificates.find((candidate) => this.#known.has(candidate));
    return name === undefined ? undefined : this.#known.get(name)?.config;
  }

  /** What a client that asks for `serverName` is shown; undefined when the listener has no certificate. */
  find(tls: ListenerTls, serverName: string): SecureContext | undefined {
    const asked = serverName.toLowerCase();
    const name =
      (tls.showsAll === true ? this.#findAmongAll(asked) : this.#findListed(tls, asked)) ?? this.first(tls)?.name;
    return name === undefined ? undefined : this.#contextOf(name, tls);
  }

  #findListed(tls: ListenerTls, asked: string): string | undefined {
    const fits = (test: (host: string) => boolean) =>
      tls.certificates.find((name) => this.#known.get(name)?.names.some(test) === true);
    return fits((host) => host === asked) ?? fits((host) => isWildcardOf(host, asked));
  }

  #findAmongAll(asked: string): string | undefined {
    this.#byHost ??= this.#indexed();
    return this.#byHost.get(asked) ?? this.#byHost.get(`*${asked.slice(Math.max(asked.indexOf("."), 0))}`);
  }

  /** Of several for a host the first by name, so that it does not depend on who came first. */
  #indexed(): ReadonlyMap<string, string> {
    const byHost = new Map<string, string>();
    for (const name of [...this.#known.keys()].sort().reverse())
      for (const host of this.#known.get(name)?.names ?? []) byHost.set(host, name);
    return byHost;
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

  #forget(name: string): void {
    this.#byHost = undefined;
    for (const key of this.#contexts.keys()) if (key.startsWith(`${name}\0`)) this.#contexts.delete(key);
  }
}

/** Those without a host beside the subject are for the subject, as people still make them by hand. */
function namesOf(certificate: string): readonly string[] {
  const { subjectAltName, subject } = new X509Certificate(certificate);
  const names = (subjectAltName ?? "")
    .split(", ")
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice(4).toLowerCase());
  const common = /(?:^|\n)CN=([^\n]+)/.exec(subject ?? "")?.[1];
  return names.length === 0 && common !== undefined ? [common.toLowerCase()] : names;
}

/** A wildcard stands for one label (RFC 6125 6.4.3). */
function isWildcardOf(name: string, host: string): boolean {
  return name.startsWith("*.") && host.indexOf(".") > 0 && host.slice(host.indexOf(".")) === name.slice(1);
}
