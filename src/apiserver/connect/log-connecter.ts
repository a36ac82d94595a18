/**
 * pods/log: the container's log as the pod's node has it, passed on as it comes.
 */
import type { IncomingMessage } from "node:http";
import type { PodLogOptions } from "./log-options.ts";
import { parseLogOptions } from "./log-options.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { Connecter } from "#apiserver/server/connecter.ts";
import type { Exchange } from "#apiserver/server/exchange.ts";
import { chooseContainer, type ConnectParts, endpointOfPod, getPod } from "./node-access.ts";
import { askNode } from "./node-request.ts";

/** Makes the connecter. */
export function createLogConnecter(parts: ConnectParts): Connecter {
  return {
    async serve(connection) {
      if (connection.type !== "http") throw badRequest("logs are not upgraded: ask without an Upgrade header");
      const { context, exchange } = connection;
      const options = parseLogOptions(context.request.query);
      const pod = await getPod(parts, context.info.namespace, context.info.name);
      const container = chooseContainer(pod, options.container);
      const endpoint = await endpointOfPod(parts, pod);
      const path = `/containerLogs/${pod.metadata?.namespace}/${pod.metadata?.name}/${container}?${queryOf(options)}`;
      await passOn(exchange, await askNode(parts, endpoint, path, exchange.request.signal()));
    },
  };
}

function queryOf(options: PodLogOptions): URLSearchParams {
  const { container: _, ...rest } = options;
  return new URLSearchParams(Object.entries(rest).map(([name, value]) => [name, String(value)] as [string, string]));
}

async function passOn(exchange: Exchange, response: IncomingMessage): Promise<void> {
  const body = exchange.respondStream(200, { "content-type": "text/plain", "cache-control": "no-cache, private" });
  body.onClose(() => response.destroy());
  try {
    for await (const chunk of response) {
      if (!body.write(chunk as Buffer)) await body.drained();
      if (body.isClosed) return;
    }
  } catch {
    // The node or the client has gone: what was sent was sent.
  }
  body.end();
}
