/**
 * Serves a function's fetch handler in Node: requests and answers are streams, and an end is waited for until what is under way is done. Bundled with the function's code.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { handlerOf, invoke, overdue, type Wait } from "./handler.ts";
import { InvocationLog, textOf } from "./invocation-log.ts";

const defaultPort = 8080;

const log = new InvocationLog();
log.install();

/** Listens at PORT. Throws TypeError for a module without a handler. */
export function serveNode(module: Readonly<Record<string, unknown>>, file: string): void {
  const handler = handlerOf(module, file);
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing, (request) => invoke({ handler, log, wait }, request, process.env, context)).catch(
      (error: unknown) => {
        // Whoever asked has gone, or was told half of an answer.
        if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") console.error(textOf(error));
        outgoing.destroy();
      },
    );
  });
  // The engine ends requests that take too long, by what the function asks for.
  server.requestTimeout = 0;
  server.listen(Number(process.env["PORT"] ?? defaultPort));
  process.on("SIGTERM", () => server.close(() => process.exit(0)));
}

function wait(ms: number): Wait {
  const { promise: over, resolve } = Promise.withResolvers<symbol>();
  const timer = setTimeout(() => resolve(overdue), ms).unref();
  return { over, leave: () => clearTimeout(timer) };
}

/** What workerd gives as the third argument: here a request is not the end of what it began. */
const context = {
  waitUntil(work: Promise<unknown>): void {
    work.catch((error: unknown) => console.error(`Uncaught (in promise) ${textOf(error)}`));
  },
  passThroughOnException(): void {},
};

async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  ask: (request: Request) => Promise<Response>,
): Promise<void> {
  const response = await ask(requestOf(incoming));
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of response.headers) if (name !== "set-cookie") fields[name] = value;
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) fields["set-cookie"] = cookies;
  outgoing.writeHead(response.status, fields);
  if (response.body === null || incoming.method === "HEAD") outgoing.end();
  else await pipeline(Readable.fromWeb(response.body as ReadableStream), outgoing);
}

function requestOf(incoming: IncomingMessage): Request {
  const { method = "GET", headers, rawHeaders, url = "/" } = incoming;
  const fields = new Headers();
  for (let index = 0; index < rawHeaders.length; index += 2)
    fields.append(rawHeaders[index] ?? "", rawHeaders[index + 1] ?? "");
  const scheme = headers["x-forwarded-proto"] === "https" ? "https" : "http";
  const target = new URL(url, `${scheme}://${headers.host ?? "localhost"}`);
  if (method === "GET" || method === "HEAD") return new Request(target, { method, headers: fields });
  const body = Readable.toWeb(incoming) as globalThis.ReadableStream<Uint8Array<ArrayBuffer>>;
  return new Request(target, { method, headers: fields, body, duplex: "half" });
}
