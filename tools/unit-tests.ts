/**
 * Runs the unit tests that are named, all in this process, and tells run-tests.ts, which starts it once for each processor, how they went.
 */
import { runFiles } from "./run-files.ts";

const result = await runFiles(process.argv.slice(2), {
  isolation: "none",
  write: (text) => process.stdout.write(text),
});
await new Promise((resolve) => process.send?.(result, undefined, undefined, resolve));
process.exit(0);
