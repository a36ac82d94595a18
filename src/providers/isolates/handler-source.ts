/**
 * What stands around a pod's handler in its isolate, as source text: what the handler throws becomes an answer and lines in the log, with module and line. workerd alone logs no
 * stack, and answers nothing at all where a connection of the handler's has failed.
 *
 * It comes after the pod's modules have been loaded, costs a request one promise, and leaves bodies alone: what fails while one is being streamed ends the connection.
 */

/** Name of the module that this is in; its frames are nobody's business. */
export const entryName = "nodeless-entry.js";

/** Needs `main`, the namespace of the pod's main module. Makes the default export of the isolate. */
export const handlerSource: string = `
  const written = (error) => {
    const stack = typeof error?.stack === "string" && error.stack !== "" ? error.stack : String(error);
    return stack.split("\\n").filter((line) => !line.includes("(${entryName}:")).join("\\n");
  };
  const report = (what, error) => {
    let text = what;
    try {
      text += written(error);
      for (let { cause } = Object(error), depth = 0; cause && depth < 3; { cause } = Object(cause), depth++)
        text += "\\nCaused by: " + written(cause);
    } catch {
      // Whatever it is, it does not let itself be described.
    }
    console.error(text);
  };
  const failed = (error) => {
    report("Uncaught ", error);
    return new Response("Internal Server Error", { status: 500 });
  };
  const isResponse = (value) => typeof value === "object" && value !== null;
  const answered = (value) => {
    if (isResponse(value)) return value;
    throw new TypeError("the fetch handler returned " + (value === null ? "null" : typeof value) + " instead of a Response");
  };
  // The engine gives a request up, with 500 and words of its own, once its code waits for nothing. So something is waited for, until whoever asked goes; it goes with the request.
  const engineScheduler = globalThis.scheduler;
  const day = 86_400_000;
  const handler = main.default;
  // What stands around functions waits itself, for as long as the function may take.
  const stay = handler?.isPatient === true ? () => {} : () => void engineScheduler.wait(day);
  export default typeof handler === "function"
    ? class extends handler {
        async fetch(...parts) { try { stay(); return answered(await super.fetch(...parts)); } catch (error) { return failed(error); } }
      }
    : { async fetch(...parts) { try { stay(); return answered(await handler.fetch(...parts)); } catch (error) { return failed(error); } } };
  addEventListener("unhandledrejection", ({ reason }) => report("Uncaught (in promise) ", reason));

  const engineFetch = globalThis.fetch;
  const whereTo = (input) => {
    const { protocol, host, pathname } = new URL(input?.url ?? String(input));
    return protocol + "//" + host + pathname; // what is asked for may hold secrets
  };
  const explain = (error, input) => {
    const { message, stack } = error;
    const known = message.startsWith("internal error; reference") ? "its name is not known, or no connection came about: " + message : message;
    error.message = "fetch " + whereTo(input) + ": " + known;
    if (typeof stack === "string") error.stack = written({ stack: stack.replace(message, () => error.message) });
  };
  const own = {
    async fetch(input, init) {
      try {
        return await engineFetch(input, init);
      } catch (error) {
        // Of a request that was given up the reason is its giver's.
        try { if (error instanceof Error && error.name === "Error") explain(error, input); } catch {}
        throw error;
      }
    },
  };
  // Only the engine's own: a pod that has put another in its place wants that one.
  if (Function.prototype.toString.call(engineFetch).includes("[native code]"))
    Object.defineProperty(globalThis, "fetch", { value: own.fetch, writable: true, enumerable: false, configurable: true });
`;

/** In a pack: it can be ended without its process. */
export const endSource = `
  import { abortIsolate } from "cloudflare:workers";
  export const nodelessEnd = { fetch() { abortIsolate("the pod has ended"); } };`;
