/**
 * The runtimes of a Function (nodeless.dev), and which of them its source is for when nobody says.
 */

/** Where a function's code runs: in a V8 isolate, in a container of Node or Python, or in what a Dockerfile makes. */
export type FunctionRuntime = "isolate" | "node" | "python" | "container";

const pythonFiles: readonly string[] = ["requirements.txt", "main.py", "app.py", "function.py", "handler.py"];

/** One that has one thing only can be nothing else. `has` tells whether a file of this name is in the source's folder. */
export function guessRuntime(has: (name: string) => boolean): FunctionRuntime {
  if (has("Dockerfile")) return "container";
  return pythonFiles.some(has) ? "python" : "isolate";
}
