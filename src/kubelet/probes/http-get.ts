/**
 * One HTTP GET to a container, for probes and lifecycle hooks: no keep-alive, certificates not checked, redirects followed only on the same host. As pkg/probe/http.
 */
import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import type { Container, HTTPGetAction } from "#api/generated/types/core-v1.ts";
import { resolvePort } from "./probe-target.ts";
import type { ProbeOutcome } from "./probe-target.ts";

const maxRedirects = 10;
const maxBodyBytes = 10 * 1024;

/** Who asks: it stands in the User-Agent ("kube-probe/1.36"). */
export type HttpPurpose = "probe" | "lifecycle";

/** What came back. `redirectedElsewhere` is set when the server sent us to another host, where we do not go. */
export type HttpAnswer = { readonly statusCode: number; readonly body: string; readonly redirectedElsewhere: boolean };

/** Sends the request. Rejects with the connection's error, or after `timeoutMs` with Go's words for it. */
export async function httpGet(
  action: HTTPGetAction,
  container: Container,
  podIP: string,
  options: { readonly purpose: HttpPurpose; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<HttpAnswer> {
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const host = action.host || podIP;
  const port = resolvePort(action.port, container);
  const url = urlOf(scheme, host, port, action.path ?? "/");
  const timeout = AbortSignal.timeout(options.timeoutMs);
  try {
    return await follow(url, headersOf(action, options.purpose), AbortSignal.any([timeout, options.signal]));
  } catch (cause) {
    if (!timeout.aborted) throw new Error(`Get "${url.href}": ${describe(cause)}`, { cause });
    const words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    throw new Error(`Get "${url.href}": ${words}`, { cause });
  }
}

/** The answer as a probe's outcome. */
export function outcomeOf(answer: HttpAnswer): ProbeOutcome {
  const { statusCode, body } = answer;
  if (answer.redirectedElsewhere)
    return { result: "warning", output: `Probe terminated redirects, Response body: ${body}` };
  if (statusCode >= 200 && statusCode < 400) return { result: "success", output: body };
  return { result: "failure", output: `HTTP probe failed with statuscode: ${statusCode}` };
}

async function follow(
  start: URL,
  headers: Readonly<Record<string, string | string[]>>,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  let url = start;
  for (let redirects = 0; ; redirects += 1) {
    const response = await send(url, headers, signal);
    const { statusCode = 0 } = response;
    const location = response.headers.location;
    const isRedirect = statusCode >= 300 && statusCode < 400 && location !== undefined;
    if (!isRedirect) return { statusCode, body: await readBody(response), redirectedElsewhere: false };
    const next = new URL(location, url);
    if (next.hostname !== start.hostname)
      return { statusCode, body: await readBody(response), redirectedElsewhere: true };
    response.destroy();
    if (redirects >= maxRedirects) throw new Error(`stopped after ${maxRedirects} redirects`);
    url = next;
  }
}

function send(
  url: URL,
  headers: Readonly<Record<string, string | string[]>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const isTls = url.protocol === "https:";
  const options = { method: "GET", headers, signal, agent: false as const };
  const request = isTls
    ? requestHttps(url, { ...options, rejectUnauthorized: false }, resolve)
    : requestHttp(url, options, resolve);
  request.on("error", reject);
  request.end();
  return promise;
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxBodyBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBodyBytes).toString("utf8");
}

function urlOf(scheme: string, host: string, port: number, path: string): URL {
  const bracketed = host.includes(":") ? `[${host}]` : host;
  return new URL(path.startsWith("/") ? path : `/${path}`, `${scheme}://${bracketed}:${port}`);
}

function headersOf(action: HTTPGetAction, purpose: HttpPurpose): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {
    "User-Agent": `kube-${purpose}/1.36`,
    Accept: "*/*",
    Connection: "close",
  };
  const lower = new Map(Object.keys(headers).map((name) => [name.toLowerCase(), name]));
  const seen = new Set<string>();
  for (const { name, value } of action.httpHeaders ?? []) {
    const key = lower.get(name.toLowerCase()) ?? name;
    lower.set(name.toLowerCase(), key);
    const before = seen.has(key) ? headers[key] : undefined;
    headers[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    seen.add(key);
  }
  if (headers["Accept"] === "") delete headers["Accept"];
  return headers;
}

/** Go's words for the usual failures, so that events read as users know them. */
export function describe(error: unknown): string {
  const failure = error as NodeJS.ErrnoException & { readonly address?: string; readonly port?: number };
  const where = failure.address === undefined ? "" : `dial tcp ${failure.address}:${failure.port}: connect: `;
  if (failure.code === "ECONNREFUSED") return `${where}connection refused`;
  if (failure.code === "EHOSTUNREACH") return `${where}no route to host`;
  if (failure.code === "ENETUNREACH") return `${where}network is unreachable`;
  if (failure.code === "ECONNRESET") return "EOF";
  return failure.message ?? String(error);
}
