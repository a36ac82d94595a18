/**
 * How a kind behaves beyond its fields: defaulting, validation, what a write may change, selectable fields, Table columns. One file per kind in the folder of its
 * group (`core/pod.ts`), joined in the table `strategies.ts`. Kinds without a file behave as upstream's simplest: only metadata is validated.
 */
import type { FieldError } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";

/** An object that a strategy may change: a private copy. */
// oxlint-disable-next-line typescript/no-explicit-any -- defaulting walks many kinds' optional fields; each strategy narrows it at its border
export type Draft = { [key: string]: any };

/** One column of `kubectl get`. Facts as in upstream's printers: name, type, format, priority (0 shown always, 1 with -o wide). */
export type TableColumn = {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format: string;
  readonly description: string;
  readonly priority: number;
};

/** How one object becomes a row. `now` is ms since 1970, for ages. Cells are in the columns' order. */
export type TablePrinter = {
  readonly columns: readonly TableColumn[];
  readonly row: (object: Draft, now: number) => readonly (string | number | boolean | null)[];
  /** Fields that rows and conditions never look at, wherever they stand: they need not be parsed, and may be null. */
  readonly unread?: readonly string[];
  /** What the row says of the object beside its cells: pods that are over are Completed. */
  readonly conditions?: (object: Draft) => readonly TableRowCondition[];
};

/** One entry of a row's `conditions`. */
export type TableRowCondition = {
  readonly type: "Completed";
  readonly status: "True";
  readonly reason: string;
  readonly message: string;
};

/** The part of a strategy that says what is wrong with an object. */
export type KindChecks<T extends KubeObject = KubeObject> = Pick<
  KindStrategy<T>,
  "validate" | "validateUpdate" | "validateStatusUpdate" | "warnings"
>;

/** What a kind adds. Everything is optional. Functions are pure: same object, same answer; nothing but `draft` is changed. */
export type KindStrategy<T extends KubeObject = KubeObject> = {
  /** Fills in defaults, in place. Also called for stored objects of older versions, so it must be idempotent. */
  readonly applyDefaults?: (draft: Draft) => void;
  /** Before a create: clears status and what a client may not set. */
  readonly prepareForCreate?: (draft: Draft) => void;
  /** Before an update of the main resource: restores what a client may not change. The registry resets status and raises generation itself. */
  readonly prepareForUpdate?: (draft: Draft, old: T) => void;
  /** Before an update of /status: the registry resets spec and most of metadata itself. */
  readonly prepareForStatusUpdate?: (draft: Draft, old: T) => void;
  readonly validate?: (object: T) => readonly FieldError[];
  /** What is too long for the kind, also in a part of an object: found without looking at the rest. */
  readonly validateSize?: (object: T) => readonly FieldError[];
  readonly validateUpdate?: (object: T, old: T) => readonly FieldError[];
  readonly validateStatusUpdate?: (object: T, old: T) => readonly FieldError[];
  /** Loads the checks of a kind that need much code and are seldom used; they stand in for those above. */
  readonly loadChecks?: () => Promise<KindChecks<T>>;
  /** Warnings for the client (header `Warning: 299`). */
  readonly warnings?: (object: T, old: T | undefined) => readonly string[];
  /** Whether the kind's metadata.name may be any path segment instead of a DNS subdomain ("dns-subdomain" is the default). */
  readonly nameRule?: "dns-subdomain" | "dns-label" | "dns-1035-label" | "path-segment";
  /** Field selectors beyond metadata.name and metadata.namespace: { "spec.nodeName": "n1" }. */
  readonly selectableFields?: (object: T) => Readonly<Record<string, string>>;
  /** True where /status is its own endpoint and the main one ignores status. Default: as the kind facts say. */
  readonly hasStatus?: boolean;
  /** Grace period in seconds for a delete; undefined deletes at once. `asked` is the client's. */
  readonly deletionGracePeriodSeconds?: (object: T, asked: number | undefined) => number | undefined;
  /** Finalizers that a delete adds, for kinds whose end takes steps of the server's own. */
  readonly deletionFinalizers?: readonly string[];
  /** False where an update without resourceVersion is refused. Default true. */
  readonly allowsUnconditionalUpdate?: boolean;
  /** True where PUT creates what is absent. Default false. */
  readonly allowsCreateOnUpdate?: boolean;
  /** True where the kind has no generation. Default: generation rises with spec. */
  readonly hasNoGeneration?: boolean;
  /** True for a kind without spec that counts changes of its other fields all the same. */
  readonly hasGeneration?: boolean;
  /** What every request for a version on its way out is answered with as a warning. */
  readonly deprecationWarning?: string;
  /** Propagation when a delete names none: "orphan" for old kinds (v1 ReplicationController), else background. */
  readonly defaultGarbageCollection?: "orphan" | "background";
  readonly table?: TablePrinter;
};
