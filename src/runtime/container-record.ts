/**
 * What is kept on disk of a container.
 */
import type { ProcessIdentity } from "#linux/processes.ts";
import type { ContainerSettings } from "./settings.ts";

/** A container, as its folder's `record.json` has it. */
export type ContainerRecord = {
  readonly id: string;
  readonly settings: ContainerSettings;
  readonly bootId: string;
  /** "making" until the OCI runtime has created it. */
  readonly phase: "making" | "created" | "running" | "exited";
  readonly cgroupPath: string;
  /** Where conmon opened the log, if it was moved since. */
  readonly openedLogPath?: string;
  readonly createdMs: number;
  readonly startedMs?: number;
  readonly finishedMs?: number;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** Why it ended, in one word, where the exit code does not say it: "StartError". */
  readonly reason?: string;
  readonly message?: string;
  readonly container?: ProcessIdentity;
  readonly monitor?: ProcessIdentity;
};
