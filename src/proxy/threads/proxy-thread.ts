/**
 * One thread of the engine, seen from the main thread.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Hold, HoldVerdict } from "#proxy/config/hold.ts";
import type { FromThread, ThreadAnswer, ThreadData, ToThread } from "./messages.ts";

type Question = { readonly resolve: (answer: ThreadAnswer) => void; readonly reject: (error: Error) => void };
type Unnumbered<T> = T extends { readonly id: number } ? Omit<T, "id"> : never;

/** The thread ended before it answered. */
export class ThreadEnded extends Error {
  readonly kind = "ThreadEnded";
}

export class ProxyThread {
  readonly #worker: Worker;
  readonly #holds: ReadonlyMap<string, Hold>;
  readonly #questions = new Map<number, Question>();
  readonly #held = new Map<number, AbortController>();
  #lastId = 0;

  /** `onExit` is called when the thread ends, for whatever reason. */
  constructor(data: ThreadData, holds: ReadonlyMap<string, Hold>, onExit: (error: Error | undefined) => void) {
    this.#holds = holds;
    this.#worker = new Worker(threadFile(), { workerData: data });
    let failure: Error | undefined;
    this.#worker.on("message", (message: FromThread) => this.#onMessage(message));
    this.#worker.on("error", (error) => (failure = error));
    this.#worker.on("exit", () => {
      this.#onExit();
      onExit(failure);
    });
  }

  /** Rejects with {@link ThreadEnded}. */
  ask(question: Unnumbered<Exclude<ToThread, { kind: "verdict" }>>): Promise<ThreadAnswer> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#questions.set(id, { resolve, reject });
      this.#worker.postMessage({ ...question, id });
    });
  }

  /** Ends the thread at once. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #onMessage(message: FromThread): void {
    if (message.kind === "answer") {
      this.#questions.get(message.id)?.resolve(message.answer);
      this.#questions.delete(message.id);
    } else if (message.kind === "hold") void this.#hold(message);
    else {
      this.#held.get(message.id)?.abort();
      this.#held.delete(message.id);
    }
  }

  async #hold({ id, hold, request }: Extract<FromThread, { kind: "hold" }>): Promise<void> {
    const abort = new AbortController();
    this.#held.set(id, abort);
    const verdict = await this.#verdictOf(() => this.#holds.get(hold)?.admit(request, abort.signal));
    if (this.#held.delete(id)) this.#worker.postMessage({ kind: "verdict", id, verdict } satisfies ToThread);
  }

  async #verdictOf(admit: () => Promise<HoldVerdict> | undefined): Promise<HoldVerdict> {
    const refusal = { kind: "refuse", status: 503, message: "the request could not be held" } as const;
    try {
      return (await admit()) ?? refusal;
    } catch {
      return refusal;
    }
  }

  #onExit(): void {
    for (const { reject } of this.#questions.values()) reject(new ThreadEnded("a thread of the proxy ended"));
    this.#questions.clear();
    for (const abort of this.#held.values()) abort.abort();
    this.#held.clear();
  }
}

/** In the bundle the thread's program is an entry point of its own. */
function threadFile(): string {
  const places = ["./proxy-thread-main.ts", "./proxy-thread.js", "../proxy-thread.js"];
  const files = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return files.find((file) => existsSync(file)) ?? (files[0] as string);
}
