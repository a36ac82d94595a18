/**
 * The registry protocol (OCI distribution specification), a client's side: manifests and blobs over HTTPS, with basic or token authentication. Plain HTTP only for this machine's
 * own addresses and for hosts that were configured so.
 */
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { getCACertificates, rootCertificates, type SecureContextOptions } from "node:tls";
import { isMissing } from "#component-base/missing-file.ts";
import type { Dispatcher } from "undici";
import type { Credential } from "./credentials.ts";
import { describeConnectionError, statusLine } from "./connection-errors.ts";
import type { ImageSource } from "./image-source.ts";
import { mediaTypes } from "./oci.ts";

/** How registries are reached. */
export type RegistrySettings = {
  /** By registry, or "*" for all that are not named: base addresses that are asked first, "https://mirror.example.com". */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Hosts with ports that speak plain HTTP. This machine's own always may. */
  readonly plainHttp?: readonly string[];
  /** By host with port. */
  readonly hosts?: Readonly<Record<string, HostTls>>;
  /** The machine's own, for everybody who pulls; by registry or mirror. */
  readonly credentials?: readonly Credential[];
  /** Folders with HOST[:PORT]/*.crt, as /etc/containers/certs.d. */
  readonly certificateFolders?: readonly string[];
  /** Proxies for plain and for encrypted registries, and hosts that are reached without, as in HTTP_PROXY, HTTPS_PROXY and NO_PROXY. This machine's own never need one. */
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
};

/** Files (PEM) for connections to one host. */
export type HostTls = {
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  /** Whoever answers is believed. */
  readonly skipsVerification?: boolean;
};

/** A registry did not give what was asked for. */
export class RegistryError extends Error {
  readonly kind = "RegistryError";
  /** "unavailable" may pass by itself. */
  readonly reason: "unavailable" | "unauthorized" | "notFound" | "protocol";
  constructor(reason: RegistryError["reason"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What a manifest may be, for Accept. */
export const manifestTypes: string = [
  mediaTypes.index,
  mediaTypes.manifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(", ");
const largestManifest = 4 << 20;
const mostRedirects = 5;
const connectPatienceMs = 30_000;
const readPatienceMs = 60_000;

/** A request to a registry. */
export type RegistryRequest = {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  /** "/v2/…", or a whole URL that the registry gave. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  /** Called again when the request has to be sent again. */
  readonly body?: () => Buffer | Readable;
  /** Statuses that are an answer. */
  readonly expected: readonly number[];
};

/** Speaks with one registry about one repository, as one identity. */
export class RegistryClient implements ImageSource {
  readonly base: string;
  readonly #repository: string;
  readonly #credential: Credential | undefined;
  readonly #actions: string;
  readonly #agent: Dispatcher;
  readonly #request: typeof Dispatcher.prototype.request;
  #authorization: string | undefined;

  constructor(options: {
    readonly base: string;
    readonly repository: string;
    readonly credential: Credential | undefined;
    readonly agent: Dispatcher;
    /** What it is going to do, as token servers want it said. Default "pull". */
    readonly actions?: "pull" | "pull,push";
  }) {
    this.base = options.base;
    this.#actions = options.actions ?? "pull";
    this.#repository = options.repository;
    this.#credential = options.credential;
    this.#agent = options.agent;
    this.#request = options.agent.request.bind(options.agent);
  }

  /** Whether the registry asked who we are, and was told. */
  get hasShownCredential(): boolean {
    return this.#credential !== undefined && this.#authorization !== undefined;
  }

  /** A manifest or an index, by tag or digest. */
  async manifest(reference: string, signal: AbortSignal): Promise<Buffer> {
    const path = `/v2/${this.#repository}/manifests/${reference}`;
    const { body } = await this.#get(path, { accept: manifestTypes }, signal);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += (chunk as Buffer).length;
      if (size > largestManifest)
        throw new RegistryError("protocol", `manifest ${reference} is larger than ${largestManifest} bytes`);
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks);
  }

  /** A blob's bytes from `offset` on. The server may ignore the offset: `start` says where the bytes begin. */
  async blob(
    digest: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ readonly body: Readable; readonly start: number }> {
    const range: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const { body, status } = await this.#get(`/v2/${this.#repository}/blobs/${digest}`, range, signal);
    return { body, start: status === 206 ? offset : 0 };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** One exchange with the registry, as the identity that it asks for. Statuses that are not expected become a {@link RegistryError}. The caller reads the body, or dumps it. */
  async exchange(request: RegistryRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const first = await this.#send(request, signal);
    if (first.statusCode !== 401) return this.#accept(first, request);
    const challenge = String(first.headers["www-authenticate"] ?? "");
    await first.body.dump();
    this.#authorization = await this.#authorize(challenge, signal);
    return this.#accept(await this.#send(request, signal), request);
  }

  async #get(
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<{ readonly body: Readable; readonly status: number }> {
    const { body, statusCode } = await this.exchange({ method: "GET", path, headers, expected: [200, 206] }, signal);
    return { body, status: statusCode };
  }

  async #accept(response: Dispatcher.ResponseData, request: RegistryRequest): Promise<Dispatcher.ResponseData> {
    const { statusCode: status, body } = response;
    if (request.expected.includes(status)) return response;
    const text = (await body.text().catch(() => "")).slice(0, 500);
    const reason =
      status === 404
        ? "notFound"
        : status === 401 || status === 403
          ? "unauthorized"
          : status === 429 || status >= 500
            ? "unavailable"
            : "protocol";
    const said = messageOf(text);
    const shown = `unexpected status from ${request.method} request to ${this.#urlOf(request.path).href}: ${statusLine(status)}`;
    throw new RegistryError(reason, said === "" ? shown : `${shown}: ${said}`);
  }

  // A base may have a path of its own.
  #urlOf(path: string): URL {
    return new URL(path.startsWith("/") ? this.base + path : path);
  }

  // Redirects lead to other hosts, which must not see the credentials.
  async #send(request: RegistryRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { method, path, headers = {}, body } = request;
    let target = this.#urlOf(path);
    const origin = new URL(this.base).origin;
    for (let redirects = 0; redirects <= mostRedirects; redirects++) {
      const own =
        target.origin === origin && this.#authorization !== undefined ? { authorization: this.#authorization } : {};
      const sent = { method, headers: { ...headers, ...own }, ...(body && { body: body() }) };
      const response = await this.#once(target, sent, signal);
      const location = response.headers["location"];
      if (response.statusCode < 300 || response.statusCode >= 400 || typeof location !== "string") return response;
      await response.body.dump();
      const next = new URL(location, target);
      if (target.protocol === "https:" && next.protocol !== "https:")
        throw new RegistryError("protocol", `the registry redirects from HTTPS to ${next.protocol}//${next.host}`);
      target = next;
    }
    throw new RegistryError("protocol", `too many redirects from ${path}`);
  }

  async #once(
    target: URL,
    options: {
      readonly method: RegistryRequest["method"];
      readonly headers: Record<string, string>;
      readonly body?: string | Buffer | Readable;
    },
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#request({
        origin: target.origin,
        path: `${target.pathname}${target.search}`,
        signal,
        ...options,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      const verb = options.method.charAt(0) + options.method.slice(1).toLowerCase();
      const why = describeConnectionError(error, target);
      throw new RegistryError("unavailable", `failed to do request: ${verb} "${target.href}": ${why}`, {
        cause: error,
      });
    }
  }

  async #authorize(challenge: string, signal: AbortSignal): Promise<string> {
    const basic = basicHeader(this.#credential);
    if (/^basic\b/i.test(challenge)) {
      if (basic === undefined)
        throw new RegistryError("unauthorized", "failed to authorize: no basic auth credentials");
      return basic;
    }
    const parameters = parseChallenge(challenge);
    const realm = parameters["realm"];
    if (!/^bearer\b/i.test(challenge) || realm === undefined)
      throw new RegistryError(
        "unauthorized",
        `failed to authorize: the registry asks for ${challenge || "nothing known"}`,
      );
    const endpoint = new URL(realm, this.base);
    const response = await this.#askForToken(endpoint, parameters, basic, signal);
    const text = await response.body.text();
    if (response.statusCode !== 200) throw tokenRefused(endpoint, response.statusCode, text);
    const { token, access_token: accessToken } = JSON.parse(text) as { token?: string; access_token?: string };
    return `Bearer ${token ?? accessToken ?? ""}`;
  }

  #askForToken(
    realm: URL,
    parameters: Readonly<Record<string, string>>,
    basic: string | undefined,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const service = parameters["service"] ?? "";
    const scope = parameters["scope"] ?? `repository:${this.#repository}:${this.#actions}`;
    const refresh = this.#credential?.identityToken;
    if (refresh !== undefined && refresh !== "") {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        service,
        scope,
        client_id: "nodeless",
        refresh_token: refresh,
      });
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      return this.#once(realm, { method: "POST", headers, body: form.toString() }, signal);
    }
    if (service !== "") realm.searchParams.set("service", service);
    for (const one of scope.split(" ")) realm.searchParams.append("scope", one);
    return this.#once(realm, { method: "GET", headers: basic === undefined ? {} : { authorization: basic } }, signal);
  }
}

/** Base addresses to pull from, in order: mirrors, then the registry itself. */
export function registryAddresses(registry: string, settings: RegistrySettings): string[] {
  const mirrors = settings.mirrors?.[registry] ?? settings.mirrors?.["*"] ?? [];
  return [...mirrors.map((mirror) => mirror.replace(/\/+$/, "")), registryUrl(registry, settings)];
}

/** Base address of the registry itself. */
export function registryUrl(registry: string, settings: RegistrySettings): string {
  const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
  return `${mayBePlain(registry, settings) ? "http" : "https"}://${host}`;
}

/** Connections that trust the system's authorities and those configured for the host. */
export async function makeAgent(base: string, settings: RegistrySettings): Promise<Dispatcher> {
  const { Agent, EnvHttpProxyAgent } = await import("undici");
  const { protocol, host } = new URL(base);
  // Hundreds of certificates take a while to read: not for plain HTTP.
  const tls = protocol === "https:" ? tlsOptions(host, settings) : {};
  const common = {
    connect: { timeout: connectPatienceMs, ...tls },
    headersTimeout: readPatienceMs,
    bodyTimeout: readPatienceMs,
  };
  const { http, https, no = "" } = settings.proxy ?? {};
  if (http === undefined && https === undefined) return new Agent(common);
  return new EnvHttpProxyAgent({
    ...common,
    // Empty ones keep the library from looking at the environment itself.
    httpProxy: http ?? "",
    httpsProxy: https ?? http ?? "",
    noProxy: ["localhost", "127.0.0.1", no].filter(Boolean).join(","),
    requestTls: tls,
  });
}

function tlsOptions(host: string, settings: RegistrySettings): SecureContextOptions & { rejectUnauthorized?: boolean } {
  const { caFile, certificateFile, keyFile, skipsVerification } = settings.hosts?.[host] ?? {};
  const own = [...certificatesFor(host, settings), ...(caFile === undefined ? [] : [readPem(caFile)])];
  return {
    ca: [...new Set([...rootCertificates, ...getCACertificates("system"), ...own])],
    ...(certificateFile === undefined ? {} : { cert: readPem(certificateFile) }),
    ...(keyFile === undefined ? {} : { key: readPem(keyFile) }),
    ...(skipsVerification ? { rejectUnauthorized: false } : {}),
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new RegistryError("protocol", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function mayBePlain(registry: string, settings: RegistrySettings): boolean {
  const host = registry.replace(/:\d+$/, "");
  return (
    host === "localhost" || /^127\./.test(host) || host === "[::1]" || (settings.plainHttp ?? []).includes(registry)
  );
}

function certificatesFor(host: string, settings: RegistrySettings): string[] {
  return (settings.certificateFolders ?? []).flatMap((folder) => {
    const own = join(folder, host);
    let names: string[];
    try {
      names = readdirSync(own).filter((name) => name.endsWith(".crt"));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
    return names.map((name) => readFileSync(join(own, name), "utf8")).filter(isCertificate);
  });
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== "";
  } catch {
    return false;
  }
}

function basicHeader(credential: Credential | undefined): string | undefined {
  if (credential?.username === undefined || credential.username === "") return undefined;
  return `Basic ${Buffer.from(`${credential.username}:${credential.password ?? ""}`).toString("base64")}`;
}

/** `Bearer realm="…",service="…"` as fields. */
function parseChallenge(challenge: string): Readonly<Record<string, string>> {
  const pairs = challenge.matchAll(/([a-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,]+))/gi);
  return Object.fromEntries([...pairs].map((pair) => [(pair[1] ?? "").toLowerCase(), pair[2] ?? pair[3] ?? ""]));
}

function tokenRefused(endpoint: URL, status: number, text: string): RegistryError {
  const isRefusal = status >= 400 && status < 500 && status !== 429;
  const said = messageOf(text.slice(0, 500));
  const shown = `failed to authorize: failed to fetch oauth token: unexpected status from GET request to ${endpoint.href}: ${statusLine(status)}`;
  return new RegistryError(isRefusal ? "unauthorized" : "unavailable", said === "" ? shown : `${shown}: ${said}`);
}

function messageOf(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: string; message?: string }[] };
    return (errors ?? []).map((error) => `${error.code ?? ""}: ${error.message ?? ""}`).join("; ");
  } catch {
    return /^\s*</.test(text) ? "" : (text.split("\n")[0] ?? "");
  }
}
