/**
 * What annotations make of an Ingress: `nodeless.dev/NAME`, and those of ingress-nginx that are everywhere, under their own names and with their own meaning. Ours count where both are given.
 */
import type { Ingress } from "#api/generated/types/networking-v1.ts";

const ownPrefix = "nodeless.dev/";
const nginxPrefix = "nginx.ingress.kubernetes.io/";

/** How backends are spoken to. */
export type BackendProtocol = "HTTP" | "HTTPS" | "GRPC" | "GRPCS";

/** What an Ingress asks for beside its rules. Absent: as the proxy does it anyway. */
export type IngressSettings = {
  /** Cleartext requests for hosts with TLS are sent to https. */
  readonly redirectsToTls: boolean;
  /** So are all others. */
  readonly redirectsAllToTls: boolean;
  /** Where all its requests are sent instead of being served. */
  readonly redirect?: { readonly url: string; readonly status: 301 | 302 | 303 | 307 | 308 };
  /** Where `/` is sent. */
  readonly appRoot?: string;
  readonly rewriteTarget?: string;
  readonly usesRegex: boolean;
  readonly protocol?: BackendProtocol;
  /** What backends see as the host. */
  readonly upstreamHost?: string;
  readonly maxBodyBytes?: number;
  readonly connectTimeoutMs?: number;
  /** Without a byte in either direction. */
  readonly idleMs?: number;
  /** Why nothing of it is served, where something of it cannot be left out. */
  readonly refusal?: string;
  /** What is wrong with values, which count as not given. */
  readonly problems: readonly string[];
  /** Annotations of ingress-nginx that mean something and are not followed. */
  readonly ignored: readonly string[];
};

/** They keep somebody out: leaving them unheard would let him in. */
const guards: ReadonlySet<string> = new Set([
  "allowlist-source-range",
  "auth-secret",
  "auth-tls-secret",
  "auth-type",
  "auth-url",
  "denylist-source-range",
  "whitelist-source-range",
]);

/** About nginx's own buffers, logs and sockets: there is nothing here that they could mean. */
const meaningless: ReadonlySet<string> = new Set([
  "client-body-buffer-size",
  "enable-access-log",
  "enable-rewrite-log",
  "proxy-buffer-size",
  "proxy-buffering",
  "proxy-buffers-number",
  "proxy-busy-buffers-size",
  "proxy-http-version",
  "proxy-max-temp-file-size",
  "proxy-request-buffering",
]);

/** Reads them all. */
export function settingsOf({ metadata }: Ingress): IngressSettings {
  const reader = new Reader(metadata?.annotations ?? {});
  const settings = {
    redirectsToTls: reader.flag("ssl-redirect"),
    redirectsAllToTls: reader.flag("force-ssl-redirect"),
    usesRegex: reader.flag("use-regex"),
    ...given("redirect", readRedirect(reader)),
    ...given("appRoot", reader.path("app-root")),
    ...given("rewriteTarget", reader.path("rewrite-target")),
    ...given("protocol", readProtocol(reader)),
    ...given("upstreamHost", reader.text("upstream-vhost", /^[A-Za-z0-9._:[\]-]+$/, "a host")),
    ...given("maxBodyBytes", readBodySize(reader)),
    ...given("connectTimeoutMs", reader.seconds("proxy-connect-timeout")),
    ...given("idleMs", latest(reader.seconds("proxy-read-timeout"), reader.seconds("proxy-send-timeout"))),
  };
  const unread = reader.unread();
  return {
    ...settings,
    ...given("refusal", refusalOf(metadata?.annotations ?? {}, unread)),
    problems: reader.problems,
    ignored: unread,
  };
}

function refusalOf(annotations: Readonly<Record<string, string>>, unread: readonly string[]): string | undefined {
  const guard = unread.find((name) => guards.has(name.slice(nginxPrefix.length)));
  if (guard !== undefined) return `${guard} keeps clients out, and is not supported: nothing is served without it`;
  if (annotations[`${nginxPrefix}canary`] !== "true") return undefined;
  return `${nginxPrefix}canary is not supported: nothing is served in place of the Ingress beside which it stands`;
}

function readRedirect(reader: Reader): IngressSettings["redirect"] {
  const permanent = reader.url("permanent-redirect");
  const temporary = reader.url("temporal-redirect");
  const status = reader.text("permanent-redirect-code", /^30[12378]$/, "a status of a redirect");
  if (permanent !== undefined)
    return { url: permanent, status: Number(status ?? 301) as NonNullable<IngressSettings["redirect"]>["status"] };
  return temporary === undefined ? undefined : { url: temporary, status: 302 };
}

function readProtocol(reader: Reader): BackendProtocol | undefined {
  return reader
    .text("backend-protocol", /^(HTTP|HTTPS|GRPC|GRPCS)$/i, "one of HTTP, HTTPS, GRPC and GRPCS")
    ?.toUpperCase() as BackendProtocol | undefined;
}

const units: Readonly<Record<string, number>> = { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** As nginx writes sizes; 0 is none. */
function readBodySize(reader: Reader): number | undefined {
  const text = reader.text("proxy-body-size", /^\d{1,12}[kmg]?$/i, "a size such as 8m")?.toLowerCase();
  if (text === undefined) return undefined;
  const bytes = Number.parseInt(text, 10) * (units[text.replace(/^\d+/, "")] ?? 1);
  return bytes === 0 ? undefined : bytes;
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : Math.max(a, b ?? 0);
}

function given<K extends string, T>(name: K, value: T | undefined): { readonly [key in K]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in K]?: T };
}

/** Remembers what was asked for, and what was wrong with it. */
class Reader {
  readonly problems: string[] = [];
  readonly #annotations: Readonly<Record<string, string>>;
  readonly #known = new Set<string>(meaningless);

  constructor(annotations: Readonly<Record<string, string>>) {
    this.#annotations = annotations;
  }

  text(name: string, pattern: RegExp, expected: string): string | undefined {
    this.#known.add(name);
    const key = Object.hasOwn(this.#annotations, ownPrefix + name) ? ownPrefix + name : nginxPrefix + name;
    const value = Object.hasOwn(this.#annotations, key) ? this.#annotations[key]?.trim() : undefined;
    if (value === undefined || value === "") return undefined;
    if (pattern.test(value)) return value;
    this.problems.push(`${key}: ${JSON.stringify(value)} is not ${expected}`);
    return undefined;
  }

  flag(name: string): boolean {
    return this.text(name, /^(true|false)$/, '"true" or "false"') === "true";
  }

  path(name: string): string | undefined {
    return this.text(name, /^\/[!-~]*$/, "a path");
  }

  /** What a Location can be, whole. */
  url(name: string): string | undefined {
    return this.text(name, /^(https?:\/\/[^/?#\s]+)?(\/[!-~]*)?$/, "an address");
  }

  seconds(name: string): number | undefined {
    const text = this.text(name, /^\d{1,7}s?$/, "a number of seconds");
    return text === undefined ? undefined : Number.parseInt(text, 10) * 1000;
  }

  /** Annotations of ingress-nginx that nobody asked for. */
  unread(): readonly string[] {
    return Object.keys(this.#annotations)
      .filter((key) => key.startsWith(nginxPrefix) && !this.#known.has(key.slice(nginxPrefix.length)))
      .sort();
  }
}
