/**
 * Stands around a function's module in an isolate: what it says carries the request's identifier, and what it throws is an answer. Bundled with the module.
 */
import { handlerOf, invoke } from "./handler.ts";
import { InvocationLog } from "./invocation-log.ts";

const log = new InvocationLog();
log.install();

/** The default export of the bundle. A class (a WorkerEntrypoint) is taken as it is: workerd makes an object of it for each request. */
export function serveIsolate(module: Readonly<Record<string, unknown>>, file: string): unknown {
  const exported = module["default"];
  const prototype =
    typeof exported === "function" ? (exported.prototype as { fetch?: unknown } | undefined) : undefined;
  if (typeof prototype?.fetch === "function") return exported;
  const handler = handlerOf(module, file);
  return {
    fetch: (request: Request, env: unknown, context: unknown) => invoke({ handler, log }, request, env, context),
  };
}
