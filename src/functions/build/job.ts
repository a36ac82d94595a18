/**
 * What is told to a build, which runs in a process of its own, and what it tells: lines of JSON on its standard output.
 */
import type { FunctionRuntime } from "#api/nodeless/function-runtime.ts";
import type { FunctionSource } from "#api/nodeless/function.ts";
import type { BuildFailure } from "./build-error.ts";

/** Images that functions are laid onto. */
export type BaseImages = { readonly node: string; readonly python: string };

/** One build. */
export type BuildJob = {
  /** An empty folder of the build's own; it is removed afterwards, by who made it. */
  readonly work: string;
  /** The machine's image store. */
  readonly imageStore: string;
  /** Whose registry the image goes to: the cluster's name. */
  readonly cluster: string;
  /** "functions/CLUSTER/NAMESPACE/NAME". */
  readonly repository: string;
  readonly runtime: FunctionRuntime;
  readonly source: FunctionSource;
  readonly entrypoint?: string;
  /** What an isolate's code may connect to. Absent: everything. */
  readonly outbound?: readonly string[];
  readonly bases: BaseImages;
  /** For folders with a Dockerfile; without a program they fail. `folder` is kept between builds. */
  readonly buildah: { readonly program: string | undefined; readonly folder: string; readonly searchPath: string };
  /** Who the tools of a build are, where this process is root. */
  readonly user?: number;
  /** Most bytes of all files of a source. */
  readonly mostSourceBytes: number;
};

/** Build inputs that do not come from the function. */
export type BuildSettings = Pick<BuildJob, "imageStore" | "cluster" | "buildah" | "bases" | "mostSourceBytes"> & {
  readonly user?: number;
};

/** How it ended. */
export type BuildOutcome = { readonly image: string; readonly commit?: string } | { readonly failure: BuildFailure };

/** What a build tells. */
export type BuildMessage = { readonly line: string } | { readonly stage: "fetched" } | BuildOutcome;
