/**
 * Speaks to a cage's loader over its control socket. One connection, made while the cage is being made, so that code goes out in one write when its time comes.
 */
import { appendFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import type { IsolateCode } from "./loader.ts";

/** The code did not load. The message is the engine's; the isolate's log has it with its stack. */
export class LoadFailure extends Error {
  readonly kind = "LoadFailure";
}

/** The code went on for too long while it was loaded: perhaps for ever. Nobody but us can say so in its log. */
export class LoadTimeout extends LoadFailure {}

/** How long code may take to load. */
const loadPatienceMs = 10_000;

/** Code for one of the places of a pack. */
export type PlacedCode = IsolateCode & {
  readonly place: number;
  /** Different for each load. */
  readonly name: string;
  /** Says in the log whose a message is. */
  readonly tag: string;
};

type Answer = { readonly status: number; readonly text: string };

/** Says something in a container's log in its place. */
export function appendLog(path: string, message: string): void {
  appendFileSync(path, `${new Date().toISOString()} stderr F ${message}\n`, { mode: 0o640 });
}

/** The way to one loader. */
export class Control {
  readonly #socketPath: string;
  readonly #agent: Agent;

  /** `isShared`: many speak to it at once, and none waits for another. */
  constructor(socketPath: string, { isShared = false }: { readonly isShared?: boolean } = {}) {
    this.#socketPath = socketPath;
    this.#agent = new Agent({ keepAlive: true, maxSockets: isShared ? Infinity : 1 });
  }

  /** Resolves when workerd answers: from then on code is loaded at once. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    // The socket listens before workerd runs, so this waits in its queue.
    await this.#post("{}", signal);
  }

  /**
   * Hands the code over; `onSent` is called when the loader has it. Throws {@link LoadFailure} when it cannot be loaded, {@link LoadTimeout} when that takes more than 10 s, and any
   * other error when the process has ended.
   */
  async load(code: IsolateCode | PlacedCode, onSent: () => void, signal: AbortSignal): Promise<void> {
    const patience = AbortSignal.timeout(loadPatienceMs);
    try {
      const { status, text } = await this.#post(JSON.stringify(code), AbortSignal.any([signal, patience]), onSent);
      if (status !== 200) throw new LoadFailure(text);
    } catch (cause) {
      if (!patience.aborted || signal.aborted) throw cause;
      throw new LoadTimeout(`${code.mainModule} did not finish loading within ${loadPatienceMs / 1000} s`, { cause });
    }
  }

  /** Takes what was loaded out of its place: what is under way may be finished within the grace. Unknown is success. Resolves to false when something had to be cut off. */
  async unload(place: number, name: string, graceMs: number, signal: AbortSignal): Promise<boolean> {
    const { text } = await this.#post(JSON.stringify({ place, name, graceMs }), signal);
    return text === "ok";
  }

  /** Ends the connections; the socket's file stays for the next agent. */
  disconnect(): void {
    this.#agent.destroy();
  }

  /** Nobody speaks to the loader any more: connection and socket file go. */
  close(): void {
    this.disconnect();
    rmSync(this.#socketPath, { force: true });
  }

  #post(body: string, signal: AbortSignal, onSent: () => void = () => {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const to = { socketPath: this.#socketPath, method: "POST", path: "/", agent: this.#agent, signal };
      const call = request({ ...to, headers: { "content-length": Buffer.byteLength(body) } }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => (text += chunk));
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      call.on("error", (error: NodeJS.ErrnoException) => {
        // workerd closes connections that are idle for some seconds, perhaps at this very moment.
        if (call.reusedSocket && error.code === "ECONNRESET") resolve(this.#post(body, signal, onSent));
        else reject(error);
      });
      call.once("finish", onSent);
      call.end(body);
    });
  }
}

/** What went wrong, or undefined. */
export function outcomeOf(loading: Promise<void>): Promise<unknown> {
  return loading.then(
    () => undefined,
    (error: unknown) => error,
  );
}
