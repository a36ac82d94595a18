/**
 * Passes requests of HTTP clients on to the server that serves their group and version: bodies and answers as streams, upgrades as they are.
 */
import { passBack } from "#apiserver/connect/pass-back.ts";
import { forwardedHeaders, hopHeaders, tunnel } from "#apiserver/connect/tunnel.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { Connecter } from "#apiserver/server/connecter.ts";
import type { Exchange } from "#apiserver/server/exchange.ts";
import { unavailable } from "./in-process-call.ts";
import { identityHeaders, type RemoteApi } from "./remote-api.ts";

/** Largest body that is passed on, in bytes. */
const maxBodyBytes = 64 << 20;

/** Makes the connecter of one API. `isAvailable` is asked with each request. */
export function createAggregationConnecter(api: RemoteApi, isAvailable: () => boolean): Connecter {
  return {
    async serve(connection) {
      const { context } = connection;
      if (connection.type === "http") {
        if (isAvailable()) return await pass(api, connection.exchange, context);
        const headers = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
        return connection.exchange.respond(503, headers, "service unavailable\n");
      }
      if (!isAvailable()) throw unavailable();
      const target = await api.target();
      const path = connection.message.url ?? "/";
      await tunnel(connection, { ...target, path, headers: identityHeaders(context.user) });
    },
  };
}

async function pass(api: RemoteApi, exchange: Exchange, { user }: RequestContext): Promise<void> {
  const { request } = exchange;
  const read = ["GET", "HEAD"].includes(request.method) ? undefined : await request.readBody(maxBodyBytes);
  const headers = Object.fromEntries(
    Object.entries(forwardedHeaders(request.headers)).filter(([name]) => !hopHeaders.has(name)),
  );
  const response = await api.send({
    method: request.method,
    path: request.path + (request.query.text === "" ? "" : `?${request.query.text}`),
    user,
    headers: { ...headers, "x-forwarded-for": request.remoteAddress },
    ...(read?.form === "bytes" ? { body: read.bytes } : {}),
    signal: request.signal(),
  });
  await passBack(exchange, response);
}
