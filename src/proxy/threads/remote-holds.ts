/**
 * Holds in a thread: each asks the main thread, where the real ones live. Only requests that are held pay for that.
 */
import type { HeldRequest, Hold, HoldVerdict } from "#proxy/config/hold.ts";
import type { FromThread } from "./messages.ts";

export class RemoteHolds {
  readonly #say: (message: FromThread) => void;
  readonly #waiting = new Map<number, (verdict: HoldVerdict) => void>();
  #lastId = 0;

  constructor(say: (message: FromThread) => void) {
    this.#say = say;
  }

  /** By name, as the engine wants them. */
  all(names: readonly string[]): ReadonlyMap<string, Hold> {
    return new Map(names.map((name) => [name, { admit: (request, signal) => this.#admit(name, request, signal) }]));
  }

  onVerdict(id: number, verdict: HoldVerdict): void {
    this.#waiting.get(id)?.(verdict);
    this.#waiting.delete(id);
  }

  #admit(hold: string, request: HeldRequest, signal: AbortSignal): Promise<HoldVerdict> {
    const id = ++this.#lastId;
    this.#say({ kind: "hold", id, hold, request });
    signal.addEventListener("abort", () => {
      if (this.#waiting.delete(id)) this.#say({ kind: "unhold", id });
    });
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }
}
