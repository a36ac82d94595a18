/**
 * Finds out that a pod's port takes connections, as soon as it does: the kubelet's word takes up to a second, and somebody waits.
 */
import { connect } from "node:net";
import type { Clock } from "#component-base/clock.ts";

/** Between two looks: a sixth of what it has taken so far. A program that listens after 70 ms is found out 6 ms later in the mean, after some twenty looks of 0.1 ms. */
const [leastWaitMs, mostWaitMs] = [2, 50];
const waitShare = 1 / 6;
const connectTimeoutMs = 1000;

type Target = { readonly address: string; readonly port: number };

/** Probes that run, one for each endpoint. */
export class EndpointProbes {
  readonly #running = new Map<string, AbortController>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Probes until it takes a connection, then calls `onOpen`. A probe that runs under this name already goes on. */
  start(name: string, target: Target, onOpen: () => void): void {
    if (this.#running.has(name)) return;
    const abort = new AbortController();
    this.#running.set(name, abort);
    void probeUntilOpen(target, { clock: this.#clock, signal: abort.signal }).then(
      () => {
        if (this.#running.delete(name)) onOpen();
      },
      () => {}, // it was ended
    );
  }

  /** Ends those whose names `isNeeded` does not know any more. */
  keep(isNeeded: (name: string) => boolean): void {
    for (const [name, abort] of this.#running) {
      if (isNeeded(name)) continue;
      this.#running.delete(name);
      abort.abort(new Error("nobody waits for it"));
    }
  }

  stop(): void {
    this.keep(() => false);
  }
}

/** Resolves once a connection came about; rejects when the signal aborts. */
async function probeUntilOpen(
  target: Target,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, signal } = options;
  const begunMs = clock.now();
  for (;;) {
    signal.throwIfAborted();
    if (await isOpen(target)) return;
    const takenMs = clock.now() - begunMs;
    await clock.sleep(Math.min(Math.max(takenMs * waitShare, leastWaitMs), mostWaitMs), signal);
  }
}

function isOpen({ address, port }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (isGood: boolean) => {
      socket.destroy();
      resolve(isGood);
    };
    socket.setTimeout(connectTimeoutMs, () => end(false));
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}
