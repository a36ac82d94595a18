/**
 * pods/proxy, services/proxy and nodes/proxy: passes HTTP requests, upgrades included, on to a pod, an endpoint of a Service, or a node. Redirects go back to the client, with
 * their path below the proxy's own.
 */
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { pathBehindSubresource } from "#apiserver/filters/request-info.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { Connecter } from "#apiserver/server/connecter.ts";
import type { Exchange } from "#apiserver/server/exchange.ts";
import type { ConnectParts } from "./node-access.ts";
import { findProxyTarget, type ProxyTarget } from "./proxy-target.ts";
import { passBack } from "./pass-back.ts";
import { forwardedHeaders, hopHeaders, tunnel, unreachable } from "./tunnel.ts";

/** Largest body that is passed on, in bytes. */
const maxBodyBytes = 64 << 20;

/** Makes the connecter of "pods", "services" or "nodes". */
export function createProxyConnecter(parts: ConnectParts, resource: "pods" | "services" | "nodes"): Connecter {
  return {
    async serve(connection) {
      const { context } = connection;
      const { namespace, name } = context.info;
      const target = await findProxyTarget(parts, resource, namespace, name);
      const behind = pathBehindSubresource(context.info);
      const tls = resource === "nodes" ? parts.nodeCredentials : { insecure: true };
      if (connection.type === "upgrade") {
        const path = (behind === "" ? "/" : behind) + searchOf(connection.message.url ?? "");
        await tunnel(connection, { ...target, path, ...(target.isHttps ? { tls } : {}) });
        return;
      }
      const { exchange } = connection;
      if (behind === "" && exchange.request.method === "GET") {
        // Relative links of a page lead below it only when its own path ends in a slash.
        exchange.respond(301, { location: `${exchange.request.path}/` }, "");
        return;
      }
      await pass(exchange, context, target, { path: behind === "" ? "/" : behind, tls });
    },
  };
}

type Forward = {
  readonly path: string;
  readonly tls: {
    readonly certificate?: string;
    readonly key?: string;
    readonly ca?: string;
    readonly insecure?: boolean;
  };
};

async function pass(
  exchange: Exchange,
  context: RequestContext,
  target: ProxyTarget,
  { path, tls }: Forward,
): Promise<void> {
  const { request } = exchange;
  const hasBody = !["GET", "HEAD"].includes(request.method);
  const read = hasBody ? await request.readBody(maxBodyBytes) : undefined;
  const body = read?.form === "bytes" ? read.bytes : undefined;
  const headers = Object.fromEntries(
    Object.entries(forwardedHeaders(request.headers)).filter(([name]) => !hopHeaders.has(name)),
  );
  const query = request.query.text;
  const options = {
    host: target.host,
    port: target.port,
    path: path + (query === "" ? "" : `?${query}`),
    method: request.method,
    headers: {
      ...headers,
      host: `${target.host}:${target.port}`,
      ...(body === undefined ? {} : { "content-length": body.length }),
    },
    agent: false,
    signal: request.signal(),
  } as const;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const { certificate: cert, key, ca } = tls;
    const secured = {
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(ca === undefined ? {} : { ca }),
    };
    const outgoing = target.isHttps
      ? httpsRequest({ ...options, ...secured, rejectUnauthorized: tls.insecure !== true }, resolve)
      : httpRequest(options, resolve);
    outgoing.on("error", (cause) => reject(unreachable(target, cause)));
    outgoing.end(body);
  });
  await passBack(exchange, response, ownPath(context));
}

/** The path up to and with /proxy. */
function ownPath({ info }: RequestContext): string {
  const behind = pathBehindSubresource(info);
  return behind === "" ? info.path : info.path.slice(0, -behind.length);
}

function searchOf(url: string): string {
  const mark = url.indexOf("?");
  return mark < 0 ? "" : url.slice(mark);
}
