/**
 * Which runtime the source of a Function (nodeless.dev) is for when nobody says.
 */

const pythonFiles: readonly string[] = ["requirements.txt", "main.py", "app.py", "function.py", "handler.py"];

/** One that has one thing only can be nothing else. `has` tells whether a file of this name is in the source's folder. */
export function guessRuntime(has: (name: string) => boolean): "container" | "python" | "isolate" {
  if (has("Dockerfile")) return "container";
  return pythonFiles.some(has) ? "python" : "isolate";
}
