/**
 * What a function's module gives: `export default { fetch }`, a bare function, or an object of that kind under CommonJS. Part of what is bundled with a function's code.
 */
import { type InvocationLog, textOf } from "./invocation-log.ts";

/** Answers a request. `env` and `context` are workerd's; in Node `env` is the environment. */
export type FetchHandler = (request: Request, env: unknown, context: unknown) => Response | Promise<Response>;

/** The kubelet's question whether the process still turns, answered without the user's code. */
export const alivePath = "/.well-known/nodeless/alive";

/** The handler of a module. Throws TypeError where there is none: the function does not load then, and says why. */
export function handlerOf(module: Readonly<Record<string, unknown>>, file: string): FetchHandler {
  const exported = module["default"] ?? module["handler"];
  const inner = isObject(exported) ? (exported["default"] ?? exported) : exported;
  if (isObject(inner) && typeof inner["fetch"] === "function") return inner["fetch"].bind(inner) as FetchHandler;
  if (typeof inner === "function") return inner as FetchHandler;
  throw new TypeError(`${file} has no default export with a fetch handler`);
}

/** Says how long an answer may take, in seconds: what the function's timeoutSeconds says, in its environment. */
export const timeoutVariable = "NODELESS_TIMEOUT_SECONDS";

/** A wait that can be left. */
export type Wait = { readonly over: Promise<unknown>; readonly leave: () => void };

/** What invocations share. */
export type Invocations = {
  readonly handler: FetchHandler;
  readonly log: InvocationLog;
  readonly wait: (ms: number) => Wait;
};

/** Answers one request by the handler, in the name of its invocation. Never rejects: what the handler throws is logged, and 500 to the caller; what takes too long is logged, and 504. */
export async function invoke(
  { handler, log, wait }: Invocations,
  request: Request,
  env: unknown,
  context: unknown,
): Promise<Response> {
  if (isAliveProbe(request)) return new Response(null, { status: 204 });
  return await log.run(request.headers.get("x-request-id"), async () => {
    const seconds = Number((env as Readonly<Record<string, string>> | undefined)?.[timeoutVariable] ?? defaultSeconds);
    const { over, leave } = wait(seconds * 1000);
    try {
      const response = await Promise.race([handler(request, env, context), over]);
      if (isResponse(response)) return response;
      if (response !== overdue) throw new TypeError(`the handler gave ${nameOf(response)}, not a Response`);
      console.error(`No answer after ${seconds} s (timeoutSeconds): whoever asked was told 504`);
      return new Response("Gateway Timeout\n", { status: 504 });
    } catch (error) {
      console.error(`Uncaught ${textOf(error)}`);
      return new Response("Internal Server Error\n", { status: 500 });
    } finally {
      leave();
    }
  });
}

/** What a {@link Wait} comes to. */
export const overdue: unique symbol = Symbol("overdue");
/** As upstream's config-defaults. */
const defaultSeconds = 300;

function nameOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

function isAliveProbe(request: Request): boolean {
  return request.url.endsWith(alivePath) && request.headers.get("user-agent")?.startsWith("kube-probe/") === true;
}

// Response may be of another realm, or a package's own.
function isResponse(value: unknown): value is Response {
  return isObject(value) && typeof value["status"] === "number" && isObject(value["headers"]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
