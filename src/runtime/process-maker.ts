/**
 * Where a container's process comes from: the seam between {@link Containers}, which keep account of processes, and who makes them. An OCI runtime under conmon does with root
 * (`oci-maker.ts`), a launcher of our own without (`rootless/`).
 */
import type { ProcessIdentity } from "#linux/processes.ts";
import type { StoredImage } from "#images/image-store.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { SandboxRecord } from "./sandboxes.ts";

/** Who runs after a create: the container's first process, waiting to be started, and what stands beside it. */
export type CreatedProcesses = { readonly container: ProcessIdentity; readonly monitor: ProcessIdentity };

/** A process to make. */
export type MakePlan = {
  readonly record: ContainerRecord;
  readonly sandbox: SandboxRecord;
  /** Undefined: the root is bare. */
  readonly image: StoredImage | undefined;
  /** The container's folder, which holds its record. */
  readonly folder: string;
  /** Has a file of the container's id with its exit code once it has ended. */
  readonly exitFolder: string;
  /** Descriptors that the process gets as 3, 4, …; they stay the caller's. */
  readonly inherit: readonly number[];
};

/**
 * Makes processes. Beside each stands a monitor, which outlives us: it holds the FIFO `alive` in the container's folder open, writes the exit code into the exit folder, and ends after
 * that. Until it is written down, the monitor's number is in the file `conmon.pid`.
 */
export interface ProcessMaker {
  /** Makes the process, which waits for {@link ProcessMaker.start}. Throws RuntimeFailure. */
  create(plan: MakePlan): Promise<CreatedProcesses>;
  /** Lets a made process begin. Throws RuntimeFailure. */
  start(id: string): Promise<void>;
  /**
   * The process was started, just now or before a restart of the agent: from here on its output has to reach its log. An agent that died in the middle of {@link ProcessMaker.start} may
   * have left it unstarted: then it is started now.
   */
  attend(record: ContainerRecord, folder: string): void;
  /** Resolves when all output of an ended process is in its log. */
  drained(id: string): Promise<void>;
  /** Opens the log anew, after it was renamed away. */
  reopenLog(record: ContainerRecord, folder: string): void;
  /** Nobody attends to any process from now on; all run on. */
  close(): void;
  /** Kills what was being made when the agent ended, before it could be written down. The monitor is dead already. */
  abort(folder: string): void;
  /** Takes away what is left of a process that has ended, but its folder. Unknown is success. */
  discard(id: string, folder: string): void;
}
