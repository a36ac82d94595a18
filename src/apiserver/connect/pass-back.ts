/**
 * The answer of another server, passed on to the client as it comes.
 */
import type { IncomingMessage } from "node:http";
import type { Exchange, ResponseHeaders } from "#apiserver/server/exchange.ts";
import { hopHeaders } from "./tunnel.ts";

/** Passes it on to its end. Redirects within the other server get `below` in front of their path. */
export async function passBack(exchange: Exchange, response: IncomingMessage, below = ""): Promise<void> {
  const headers: ResponseHeaders = {};
  for (const [name, value] of Object.entries(response.headers))
    if (value !== undefined && !hopHeaders.has(name)) headers[name] = value;
  const { location } = response.headers;
  if (location?.startsWith("/") === true) headers["location"] = `${below}${location}`;
  const body = exchange.respondStream(response.statusCode ?? 502, headers);
  body.onClose(() => response.destroy());
  try {
    for await (const chunk of response) {
      if (!body.write(chunk as Buffer)) await body.drained();
      if (body.isClosed) return;
    }
    body.end();
  } catch {
    exchange.abort(); // the server broke off in the middle: so must we, or the client takes it for the whole
  }
}
