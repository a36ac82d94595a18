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

/** Answers one request by the handler, in the name of its invocation. Never rejects: what the handler throws is logged, and 500 to the caller. */
export async function invoke(
  { handler, log }: { readonly handler: FetchHandler; readonly log: InvocationLog },
  request: Request,
  env: unknown,
  context: unknown,
): Promise<Response> {
  if (isAliveProbe(request)) return new Response(null, { status: 204 });
  return await log.run(request.headers.get("x-request-id"), async () => {
    try {
      const response = await handler(request, env, context);
      if (isResponse(response)) return response;
      throw new TypeError(`the handler gave ${response === null ? "null" : typeof response}, not a Response`);
    } catch (error) {
      console.error(`Uncaught ${textOf(error)}`);
      return new Response("Internal Server Error\n", { status: 500 });
    }
  });
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
