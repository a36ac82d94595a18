/**
 * What some kinds must do in the same step as the write of their object, because two objects must never get the same: addresses and ports of Services. The store writes the operations of a
 * hook and the object's own together or not at all.
 */
import type { Draft } from "#api/strategy.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { WriteOperation } from "#store/store.ts";

/** What a hook has reserved for one write. */
export type Reservation = {
  /** Written together with the object, or not at all. */
  readonly operations: readonly WriteOperation[];
  /** The write is done. */
  commit(): void;
  /** The write did not happen: what was taken is free again. */
  release(): void;
};

/** Beside-the-object work of one kind. All functions may throw StatusError to refuse. */
export interface WriteHooks {
  /** Before validation of a create; may fill in `draft`. */
  beforeCreate?(draft: Draft, options: { readonly dryRun: boolean }): Promise<Reservation>;
  /** Before validation of an update; may fill in `draft`. */
  beforeUpdate?(draft: Draft, old: KubeObject, options: { readonly dryRun: boolean }): Promise<Reservation>;
  /** Operations to be written together with the object's removal. */
  beforeDelete?(object: KubeObject): readonly WriteOperation[];
  /** After the object is gone. */
  afterDelete?(object: KubeObject): void;
}
