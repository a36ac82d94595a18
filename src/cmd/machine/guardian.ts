/**
 * Keeps a peer process alive: watches it over its socket, and starts it again when it ends without a goodbye. A peer that keeps dying is started ever more slowly, one that hangs is killed.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { HangWatch } from "./hang-watch.ts";
import type { RunPermit } from "./run-permit.ts";
import { type ProcessSpec, startAndFollow } from "./processes.ts";
import { type Peer, PeerSilent, type PeerStatus, type StageMessage, type StopMode, watchPeer } from "./supervision.ts";

/** Which peer, and how it is started. */
export type GuardianOptions = {
  readonly socket: string;
  /** Made anew for each start: what it needs may have to be prepared again. */
  readonly process: () => Promise<ProcessSpec>;
  /** Wait before the first restart, in ms: larger for those who should only act when nobody else did. Default 0. */
  readonly patienceMs?: number;
  readonly onStage?: (message: StageMessage) => void;
  /** The peer ended, on purpose or not. */
  readonly onEnd?: () => void;
  /** Under which the peer runs, and is started again as long as it is valid. */
  readonly permit: RunPermit | undefined;
  /** How long the peer may hang before it is killed, in ms; 0: for ever. */
  readonly hangPatienceMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

const longestWaitMs = 10_000;
/** Of deaths that came after the peer was ready, no more than this many in a row slow the next start: such a peer does its work in between. */
const mostReadyFailures = 3;
/** A peer that lived this long is not one that keeps dying. */
const healthyMs = 60_000;

/** Watches over one peer until it is told to stop. */
export class Guardian {
  readonly #options: GuardianOptions;
  readonly #hangWatch: HangWatch;
  #peer: Peer | undefined;
  #isStopped = false;
  #isEnsuring = false;
  #failures = 0;

  constructor(options: GuardianOptions) {
    this.#options = options;
    const { socket, hangPatienceMs: patienceMs, clock, logger } = options;
    this.#hangWatch = new HangWatch({ socket, patienceMs, isWanted: () => this.#isWanted(), clock, logger });
  }

  /** Joins the peer if it lives, else starts it. Resolves when it is ready; rejects when it cannot start. */
  async ensure(): Promise<void> {
    this.#isEnsuring = true;
    this.#hangWatch.start();
    try {
      if (await this.#joinReady()) return;
      const outcome = await startAndFollow(await this.#options.process(), (message) =>
        this.#options.onStage?.(message),
      );
      // Somebody else may have started it at the same time: then that one is the peer, and ours has ended.
      if (await this.#joinReady()) return;
      throw new Error(outcome.ok ? "it ended as soon as it was ready" : outcome.why);
    } finally {
      this.#isEnsuring = false;
    }
  }

  /** Joins the peer if it lives, and gives whether it does; else has it started in the background. */
  async watch(): Promise<boolean> {
    this.#hangWatch.start();
    const isThere = await this.#join().catch(() => false);
    if (!isThere) void this.#restart(); // never rejects
    return isThere;
  }

  /** What the peer last said of itself. */
  status(): PeerStatus | undefined {
    return this.#peer?.status();
  }

  /** Stops watching, and with a mode the peer too. */
  async stop(mode?: StopMode): Promise<void> {
    this.#isStopped = true;
    this.#hangWatch.stop();
    const peer = this.#peer;
    if (mode === undefined) peer?.leave();
    else await peer?.stop(mode);
  }

  /** Joins the peer if it lives, and waits until it is ready. False when nobody is there or it ends meanwhile. */
  async #joinReady(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (!(await this.#join(resolve))) return false;
    return this.#peer?.status().isReady === true || (await promise);
  }

  /** Joins the peer if it lives. One that does not answer does so later, or will be killed. */
  async #join(onReady?: (isReady: boolean) => void): Promise<boolean> {
    for (;;) {
      try {
        return await this.#joinOnce(onReady);
      } catch (error) {
        const mayEnd = this.#options.hangPatienceMs > 0 && this.#isWanted();
        if (!(error instanceof PeerSilent) || !mayEnd) throw error;
      }
    }
  }

  async #joinOnce(onReady?: (isReady: boolean) => void): Promise<boolean> {
    const startedMs = this.#options.clock.now();
    const peer = await watchPeer(this.#options.socket, {
      onStage: (message) => this.#options.onStage?.(message),
      onReady: () => onReady?.(true),
      onEnd: (wasGoodbye) => {
        if (this.#peer?.status().isReady === true) this.#failures = Math.min(this.#failures, mostReadyFailures);
        this.#peer = undefined;
        onReady?.(false);
        this.#options.onEnd?.();
        if (this.#options.clock.now() - startedMs > healthyMs) this.#failures = 0;
        // A start that is under way sees for itself that it came to nothing.
        if (!wasGoodbye && !this.#isStopped && !this.#isEnsuring) void this.#restart(); // never rejects
      },
    });
    this.#peer = peer;
    return peer !== undefined;
  }

  async #restart(): Promise<void> {
    const { clock, logger, socket, patienceMs = 0 } = this.#options;
    while (this.#isWanted()) {
      const waitMs = patienceMs + (this.#failures === 0 ? 0 : Math.min(longestWaitMs, 100 * 2 ** this.#failures));
      if (waitMs > 0) await clock.sleep(waitMs);
      this.#failures += 1;
      try {
        if (!this.#isWanted()) return;
        await this.ensure();
        logger.warn("Restarted a process that had died", { socket });
        return;
      } catch (error) {
        logger.error("Restarted no process", { socket, error });
      }
    }
  }

  #isWanted(): boolean {
    return !this.#isStopped && this.#options.permit?.isValid() !== false;
  }
}
