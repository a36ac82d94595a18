/**
 * Admission: what may change or refuse a write between authorization and the store. Plugins run in the order of the table that cmd/ hands in: all mutating ones, then validation
 * by the kind's strategy, then all validating ones.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { RequestInfo, User } from "./request.ts";

/** One write on its way in. `object` is absent for delete, `oldObject` for create. */
export type AdmissionAttributes = {
  readonly request: RequestInfo;
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly user: User;
  readonly dryRun: boolean;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  /** Create, update, patch or delete options as sent. */
  readonly options: unknown;
  /** Tells the client something (header `Warning: 299`). */
  readonly warn?: (text: string) => void;
  /** An object that came from elsewhere, in the kind's shape: without what the kind does not know, with defaults. */
  readonly conform?: (object: KubeObject) => KubeObject;
  /** The same write for those who know the resource in another version; absent where it has one only. */
  readonly equivalents?: () => readonly EquivalentWrite[];
  /** What was asked for, where this is a write as {@link EquivalentWrite} shows it. */
  readonly requested?: Pick<AdmissionAttributes, "kind" | "request">;
  /** An object with the fields of another merged in, as server-side apply does. */
  readonly merge?: (object: KubeObject, applied: KubeObject) => KubeObject;
};

/** A write in another version of its resource. */
export type EquivalentWrite = {
  readonly request: RequestInfo;
  /** The write with its objects converted. Throws what the conversion says. */
  convert(attributes: AdmissionAttributes): Promise<AdmissionAttributes>;
  /** An object of that version in the requested one. */
  convertBack(object: KubeObject): Promise<KubeObject>;
};

/** Takes part in admission. */
export interface AdmissionPlugin {
  readonly name: string;
  /** Cheap test whether this plugin wants to see the write at all. */
  handles(attributes: AdmissionAttributes): boolean;
  /** Gives the object changed (a copy: the given one is frozen), or undefined to leave it. Throws StatusError to refuse. */
  mutate?(attributes: AdmissionAttributes): Promise<KubeObject | undefined>;
  /** Throws StatusError to refuse. */
  validate?(attributes: AdmissionAttributes): Promise<void>;
}
