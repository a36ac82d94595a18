/**
 * Stands around a function's module in an isolate: what it says carries the request's identifier, and what it throws is an answer. Bundled with the module.
 */
import { handlerOf, invoke, overdue, type Wait } from "./handler.ts";
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
    /** Something is waited for while it works: providers/isolates/handler-source.ts asks. */
    isPatient: true,
    fetch: (request: Request, env: unknown, context: Context) => {
      const answer = invoke({ handler, log, wait }, request, env, context);
      // Whoever asked may be told first that it took too long, and have gone: it is said in the log nevertheless.
      context.waitUntil(answer);
      return answer;
    },
  };
}

/** workerd's, of one request. */
type Context = { waitUntil(work: Promise<unknown>): void };

/** The engine's own, which costs next to nothing and ends with its request. Taken here: Node's timers would be loaded. */
const engine = (globalThis as unknown as { readonly scheduler: { wait(ms: number): Promise<void> } }).scheduler;

function wait(ms: number): Wait {
  return { over: engine.wait(ms).then(() => overdue), leave() {} };
}
