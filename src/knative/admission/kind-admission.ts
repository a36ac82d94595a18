/**
 * What is done to objects of one kind when they are written. As upstream's `apis.Defaultable` and `apis.Validatable`, as pure functions.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { FieldError } from "./field-error.ts";

/** One write of an object, and the configuration that holds. */
export type AdmissionContext<C> = {
  readonly config: C;
  readonly operation: "CREATE" | "UPDATE";
  /** Who writes. */
  readonly username: string;
};

/** What is done to one kind when it is written. `before` is absent on a create. */
export type KindAdmission<T extends KubeObject, C> = {
  /** The object with its defaults; idempotent. */
  readonly withDefaults: (object: T, before: T | undefined, context: AdmissionContext<C>) => T;
  /** What is wrong with an object that has its defaults. */
  readonly validate: (object: T, before: T | undefined, context: AdmissionContext<C>) => readonly FieldError[];
};
