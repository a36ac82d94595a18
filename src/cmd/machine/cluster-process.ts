/**
 * What the processes of a cluster have in common: they listen for their peers, do nothing without a permit, tell how their start goes, and end on a signal or when they are told to.
 */
import { flushCompileCache } from "node:module";
import { systemClock } from "#component-base/clock.ts";
import { IdleMemory } from "#component-base/idle-memory.ts";
import { createLogger, type Logger } from "#component-base/logger.ts";
import { inheritedPermit, type RunPermit } from "./run-permit.ts";
import { AlreadyRunning, type PeerStatus, type StopMode, SupervisionServer } from "./supervision.ts";

/** When all code that a start loads has been loaded. */
const COMPILE_CACHE_DELAY_MS = 5000;

/** What a process does. */
export type ClusterWork = {
  /** Resolves when it is ready. */
  readonly start: () => Promise<void>;
  readonly stop: (mode: StopMode) => Promise<void>;
};

/** What work is made with. */
export type ClusterProcessParts = {
  readonly supervision: SupervisionServer;
  readonly permit: RunPermit | undefined;
  readonly logger: Logger;
};

/** Which process it is. */
export type ClusterProcessOptions = Pick<PeerStatus, "role" | "name"> & {
  /** Where it listens for its peers. */
  readonly socket: string;
  /** Its start, as the user is shown it. */
  readonly title: string;
};

/** Runs until told to stop, then ends this process: with 0, also when another does the same work already or the permit was withdrawn, and with 1 when the start failed. */
export async function runClusterProcess(
  { role, name, socket, title }: ClusterProcessOptions,
  make: (parts: ClusterProcessParts) => ClusterWork,
): Promise<void> {
  const logger = processLogger().with({ [role === "node" ? "node" : "cluster"]: name });
  const permit = inheritedPermit(process.env);
  let work: ClusterWork | undefined;
  let isStopping = false;
  const stop = async (mode: StopMode) => {
    if (isStopping) return;
    isStopping = true;
    await work?.stop(mode).catch((error: unknown) => logger.error("Stopped uncleanly", { error }));
    await supervision.close();
    process.exit(0);
  };
  const supervision = new SupervisionServer(socket, { role, name }, (mode) => void stop(mode));
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop("process"));
  try {
    await supervision.listen();
    // Only now: a `down` that withdraws the permit later than this finds us listening.
    if (permit?.isValid() === false) return await stop("process");
    work = make({ supervision, permit, logger });
    await work.start();
    supervision.ready();
    await settle();
  } catch (error) {
    if (error instanceof AlreadyRunning) process.exit(0);
    if (isStopping) return; // a start that was broken off
    logger.error("Started no process", { role, error });
    supervision.stage({
      stage: title,
      state: "failed",
      detail: describe(error),
    });
    await supervision.close();
    process.exit(1);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!("code" in error) || error.code !== "EADDRINUSE") return error.message;
  const advice = "another program of this machine listens there, perhaps at all addresses: 'ss -lntup' shows which";
  return `${error.message}; ${advice}`;
}

/** What can wait until the process has started: it is quicker the next time, and gives back what only its start needed. */
async function settle(): Promise<void> {
  systemClock.setTimer(COMPILE_CACHE_DELAY_MS, () => flushCompileCache());
  await new IdleMemory(systemClock).start(new AbortController().signal);
}

function processLogger(): Logger {
  return createLogger({ level: process.env["NODELESS_LOG"] === "debug" ? "debug" : "info" });
}
