/**
 * Reads YAML in a thread of its own: the parser is slow, and slower still with texts that were made to be, so that a body of 3 MB could hold up everybody for seconds; to load it alone takes 25 ms. The
 * thread starts with the first text that is no JSON and ends when none came for a while.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "#component-base/clock.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { type TakeSteps, takeAtOnce } from "#apimachinery/steps.ts";
import { countMembersSteps, parseJsonSteps } from "./json-pieces.ts";
import { countMembersOf, type JsonText, parseJson } from "./json-text.ts";
import type { YamlText } from "./yaml-text.ts";

/** What the thread says: the value as JSON, or what is wrong with the text. */
export type YamlAnswer =
  | { readonly json: Uint8Array<ArrayBuffer>; readonly duplicates: string | undefined }
  | { readonly error: string };

/** Larger JSON is read in steps. */
const LARGE_BYTES = 128 * 1024;
/** Longest that one text may take. What is honest takes 2 s at most. */
const MAX_MS = 10_000;
const MAX_MEMORY_MB = 512;
const IDLE_MS = 30_000;

/** Reads YAML bodies. */
export class YamlThread {
  readonly #clock: Clock;
  readonly #takeSteps: TakeSteps;
  #worker: Worker | undefined;
  #idle: Timer | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** `takeSteps`: what is large is JSON by the time it comes back, and read in steps. */
  constructor(clock: Clock, takeSteps: TakeSteps = async (steps) => takeAtOnce(steps)) {
    this.#clock = clock;
    this.#takeSteps = takeSteps;
  }

  /** As {@link parseYaml}. Throws 400. */
  async parse(bytes: Uint8Array): Promise<YamlText> {
    const json = await this.#asJson(bytes);
    if (json !== undefined) return { value: json, duplicates: undefined };
    const answer = this.#last.then(() => this.#ask(bytes));
    this.#last = answer.catch(() => {});
    const given = await answer;
    if ("error" in given) throw badRequest(given.error);
    const { buffer, byteOffset, length } = given.json;
    const { value } = await this.#readJson(Buffer.from(buffer, byteOffset, length));
    return { value, duplicates: given.duplicates };
  }

  /** JSON is YAML too, and most of what is sent as YAML is JSON. Undefined for what only the YAML parser can tell. */
  async #asJson(bytes: Uint8Array): Promise<unknown> {
    if (bytes[0] !== 0x7b) return undefined;
    try {
      const { value, memberCount } = await this.#readJson(bytes);
      const isLarge = bytes.length > LARGE_BYTES;
      const count = isLarge ? await this.#takeSteps(countMembersSteps(value)) : countMembersOf(value);
      return count === memberCount ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async #readJson(bytes: Uint8Array): Promise<JsonText> {
    return bytes.length > LARGE_BYTES ? await this.#takeSteps(parseJsonSteps(bytes)) : parseJson(bytes);
  }

  /** Ends the thread. */
  stop(): void {
    this.#idle?.clear();
    void this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #ask(bytes: Uint8Array): Promise<YamlAnswer> {
    this.#idle?.clear();
    const worker = (this.#worker ??= startWorker());
    worker.ref();
    worker.postMessage(bytes);
    const answer = await this.#answerOf(worker);
    worker.unref();
    this.#idle = this.#clock.setTimer(IDLE_MS, () => this.stop());
    return answer;
  }

  #answerOf(worker: Worker): Promise<YamlAnswer> {
    return new Promise((resolve) => {
      const done = (answer: YamlAnswer): void => {
        timer.clear();
        worker.off("message", done).off("error", onError).off("exit", onExit);
        resolve(answer);
      };
      const failed = (why: string): void => {
        done({ error: `yaml: ${why}` });
        this.stop();
      };
      const onError = (error: Error): void => failed(error.message);
      const onExit = (): void => failed("the text could not be read");
      const timer = this.#clock.setTimer(MAX_MS, () => failed("the text takes too long to read"));
      worker.on("message", done).on("error", onError).on("exit", onExit);
    });
  }
}

/** In the bundle the thread's program is an entry point of its own. */
function startWorker(): Worker {
  const places = ["./yaml-main.ts", "./yaml-main.js", "../yaml-main.js"];
  const files = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const file = files.find((each) => existsSync(each)) ?? (files[0] as string);
  return new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: MAX_MEMORY_MB } });
}
