/**
 * What the launcher of a caged process is told, as JSON in a file.
 */
import type { MountSettings } from "#runtime/settings.ts";

/** A process to be caged. Paths of the machine but for those that say otherwise. */
export type CageFile = {
  /** False: there are no namespaces, and paths in the cage are the machine's. */
  readonly hasNamespaces: boolean;
  readonly rootfs: string;
  readonly mounts: readonly Pick<MountSettings, "hostPath" | "containerPath">[];
  readonly hostname: string;
  /** In the cage. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** A compiled seccomp filter. */
  readonly filterFile: string;
  /** Undefined: unbounded. */
  readonly mostProcesses: number | undefined;
  /** Descriptor that becomes standard error. */
  readonly errors: number;
  /** Descriptors that the program keeps. */
  readonly keep: readonly number[];
  /** Descriptor to which one line is written: {"pid":N}, or {"pid":-1,"message":"why not"}. */
  readonly report: number;
};
