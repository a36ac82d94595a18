/**
 * What an isolates runtime is made with, and what its phases have in common.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore } from "#images/image-store.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import type { CageParts, NameFiles } from "./cage.ts";

/** Where isolates of one node live. The folders are theirs alone; addresses are shared with the node's other pods. */
export type IsolatesRuntimeOptions = {
  readonly images: ImageStore;
  /** Opens what cages processes here, and takes over what runs from before. */
  readonly openEngine: () => Promise<CagingEngine>;
  /** Where this node's control groups go: "/nodeless-default". */
  readonly cgroupParent: string;
  /** Finds workerd and prepares its configuration; called once, with the first isolate. */
  readonly prepare: () => Promise<Omit<CageParts, "engine" | "listeners">>;
  /** How many processes wait for pods. */
  readonly poolSize: number;
  /** Absent: isolates ask the resolvers of their pod. */
  readonly names?: NameFiles | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** For the phases of a pod. */
export type IsolateParts = {
  readonly options: IsolatesRuntimeOptions;
  /** Undefined while the runtime does not run. */
  readonly findEngine: () => CagingEngine | undefined;
  /** Throws while the runtime does not run, as the next one does. */
  readonly engine: () => CagingEngine;
  readonly cageParts: () => Promise<CageParts>;
};
