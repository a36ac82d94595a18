/**
 * Watches over containers that run, until they have ended: by themselves, because they were told to, or because their monitor died.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { isRunning, signalProcess } from "#linux/processes.ts";
import { watchConmon } from "./conmon.ts";
import type { ContainerKilling } from "./container-killing.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { ContainerTable } from "./container-table.ts";
import type { ProcessMaker } from "./process-maker.ts";

export type WatchParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maker: Pick<ProcessMaker, "attend" | "drained">;
  readonly bootId: string;
  readonly exitFolder: string;
  readonly table: ContainerTable;
  readonly killing: ContainerKilling;
};

type Watched = {
  readonly stopWatching: () => void;
  readonly ended: Promise<void>;
  readonly resolveEnded: () => void;
  killTimer?: Timer;
  killAtMs?: number;
};

type Ending = Partial<Pick<ContainerRecord, "exitCode" | "oomKilled" | "message" | "finishedMs">>;

const unknownExitCode = 255;
const killedExitCode = 137;

export class ContainerWatch {
  readonly #parts: WatchParts;
  readonly #watched = new Map<string, Watched>();
  /** Exit codes of containers that were killed because they cannot end themselves. */
  readonly #endings = new Map<string, number>();
  #listener: (record: ContainerRecord) => void = () => {};

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** Registers the one listener for containers that end. */
  onEnd(listener: (record: ContainerRecord) => void): void {
    this.#listener = listener;
  }

  has(id: string): boolean {
    return this.#watched.has(id);
  }

  /** Takes over one that a process before has started. */
  adopt(record: ContainerRecord): void {
    if (record.bootId === this.#parts.bootId) this.begin(record.id);
    else this.#finish(record, { exitCode: unknownExitCode, message: "the machine was restarted" });
  }

  begin(id: string): void {
    const { table, maker } = this.#parts;
    const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<void>();
    const stopWatching = watchConmon(table.folder(id), () => void this.#onMonitorEnd(id));
    this.#watched.set(id, { stopWatching, ended, resolveEnded });
    maker.attend(table.find(id) as ContainerRecord, table.folder(id));
  }

  /** Watches no more; the containers run on. */
  close(): void {
    for (const watched of this.#watched.values()) {
      watched.stopWatching();
      watched.killTimer?.clear();
    }
    this.#watched.clear();
  }

  /** Resolves when the container has ended; at once when it does not run. */
  waitForEnd(id: string): Promise<void> {
    return this.#watched.get(id)?.ended ?? Promise.resolve();
  }

  /** Kills a container, and lets it have ended with this exit code if one is given. Resolves when it has. */
  async endWith(id: string, exitCode?: number): Promise<void> {
    const record = this.#parts.table.find(id);
    const watched = this.#watched.get(id);
    if (record?.phase !== "running" || !watched) return;
    if (exitCode !== undefined) this.#endings.set(id, exitCode);
    this.#kill(id);
    await watched.ended;
  }

  /** Sends the stop signal, then SIGKILL when the grace is over. Resolves when it has ended. */
  async stop(
    id: string,
    gracePeriodSeconds: number,
    stopSignal: (record: ContainerRecord) => Promise<number>,
  ): Promise<void> {
    const record = this.#parts.table.find(id);
    const watched = this.#watched.get(id);
    if (!record?.container || !watched) return;
    const { clock } = this.#parts;
    const killAtMs = clock.now() + gracePeriodSeconds * 1000;
    if (gracePeriodSeconds > 0 && watched.killAtMs === undefined)
      signalProcess(record.container, await stopSignal(record));
    if (watched.killAtMs === undefined || killAtMs < watched.killAtMs) {
      watched.killAtMs = killAtMs;
      watched.killTimer?.clear();
      if (gracePeriodSeconds <= 0) this.#kill(id);
      else watched.killTimer = clock.setTimer(gracePeriodSeconds * 1000, () => this.#kill(id));
    }
    await watched.ended;
  }

  #kill(id: string): void {
    const record = this.#parts.table.find(id);
    if (record) this.#parts.killing.kill(record);
  }

  // conmon ends right after it wrote the exit code. Without one, somebody killed it, and the container has lost its streams: it must not run on.
  async #onMonitorEnd(id: string): Promise<void> {
    const { table, killing, maker, clock, logger, exitFolder } = this.#parts;
    const record = table.find(id);
    if (record?.phase !== "running") return;
    const exitFile = join(exitFolder, id);
    // conmon lets go of its files a moment before it writes the exit code.
    while (!existsSync(exitFile) && record.monitor && isRunning(record.monitor)) await clock.sleep(1);
    if (!existsSync(exitFile)) {
      logger.warn("Lost the monitor of a container", { container: id, name: record.settings.name });
      await killing.killUntilGone(record);
      this.#finish(record, { exitCode: killedExitCode, message: "the monitor of the container died" });
      return;
    }
    await maker.drained(id);
    const exitCode = this.#endings.get(id) ?? Number(readFileSync(exitFile, "utf8").trim() || unknownExitCode);
    this.#endings.delete(id);
    // With a process namespace of its own the kernel has killed all others; with a shared one they are still there.
    killing.killAll(record);
    const oomKilled = exitCode === killedExitCode && killing.wasOutOfMemory(record, table.folder(id));
    this.#finish(record, { exitCode, oomKilled, finishedMs: Math.round(statSync(exitFile).mtimeMs) });
  }

  #finish(record: ContainerRecord, how: Ending): void {
    const { table, clock } = this.#parts;
    const finishedMs = Math.max(how.finishedMs ?? clock.now(), record.startedMs ?? 0);
    const current = table.find(record.id) ?? record;
    const ended = table.write({ ...current, ...how, finishedMs, phase: "exited" });
    const watched = this.#watched.get(record.id);
    this.#watched.delete(record.id);
    watched?.killTimer?.clear();
    watched?.stopWatching();
    this.#listener(ended);
    watched?.resolveEnded();
  }
}
