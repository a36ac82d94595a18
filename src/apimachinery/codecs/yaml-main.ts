/**
 * The thread of {@link YamlThread}: reads one text after another and answers with its value as JSON.
 */
import { parentPort } from "node:worker_threads";
import { parseYaml } from "./yaml-text.ts";
import type { YamlAnswer } from "./yaml-thread.ts";

// A broken text may have an error in each of its bytes; where each was made interests nobody.
Error.stackTraceLimit = 0;

parentPort?.on("message", (bytes: Uint8Array) => void answer(bytes));

async function answer(bytes: Uint8Array): Promise<void> {
  const given = await read(bytes);
  parentPort?.postMessage(given, "json" in given ? [given.json.buffer] : []);
}

async function read(bytes: Uint8Array): Promise<YamlAnswer> {
  try {
    const { value, duplicates } = await parseYaml(bytes);
    return { json: new TextEncoder().encode(JSON.stringify(value)), duplicates };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
