/**
 * ControllerRevisions: a state of a StatefulSet or DaemonSet, which never changes.
 */
import type { ControllerRevision } from "#api/generated/types/apps-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateControllerRevision, validateControllerRevisionUpdate } from "./set-validation.ts";

export const controllerRevisionStrategy: KindStrategy<ControllerRevision> = {
  hasNoGeneration: true,
  validate: validateControllerRevision,
  validateUpdate: validateControllerRevisionUpdate,
};
