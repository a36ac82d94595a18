/**
 * The shape of objects, as data: what strategic merge, server-side apply, validation of fields, protobuf and OpenAPI all read. Built-in kinds get theirs from the generated
 * table (`#api/kind-facts.ts`), custom resources from their CustomResourceDefinition (`structural-schema.ts`).
 */

/** Leaf types. `any` is JSON that is kept as it is. `intOrString`, `quantity`, `time`, `microTime`, `duration` are strings (or numbers) with a canonical form; `bytes` is base64. */
export type ScalarType =
  | "string"
  | "boolean"
  | "int32"
  | "int64"
  | "double"
  | "bytes"
  | "time"
  | "microTime"
  | "duration"
  | "quantity"
  | "intOrString"
  | "any";

export type ScalarSchema = {
  readonly kind: "scalar";
  readonly type: ScalarType;
  readonly enum?: readonly string[];
  /** Upstream's name of the type where it has one of its own: "v1.Protocol". Errors of decoding name it. */
  readonly goType?: string;
  /** Set for the unions of CustomResourceDefinitions' schemas, which are `any` in JSON but have a message each in protobuf. */
  readonly union?: { readonly form: "orArray" | "orBool" | "orStringArray"; readonly struct: StructSchema };
};

/** `listType` as in OpenAPI's x-kubernetes-list-type; lists without one are atomic. `patchMergeKey` is set where strategic merge merges. */
export type ListSchema = {
  readonly kind: "list";
  readonly items: Schema;
  readonly listType: "atomic" | "set" | "map";
  readonly mapKeys: readonly string[];
  /** "merge", "replace", "retainKeys" or several, as upstream's patchStrategy tag; empty means replace. */
  readonly patchStrategy: readonly string[];
  readonly patchMergeKey?: string;
  /** As in {@link ScalarSchema}. */
  readonly goType?: string;
  /** True where protobuf wraps the items in a message of their own (`ExtraValue`), since a map's values cannot repeat. */
  readonly isProtobufMessage?: boolean;
};

/** Free keys, all values of one schema. */
export type MapSchema = {
  readonly kind: "map";
  readonly values: Schema;
  readonly mapType: "granular" | "atomic";
  readonly patchStrategy: readonly string[];
  /** As in {@link ScalarSchema}. */
  readonly goType?: string;
  /** Upstream's type of the keys where it is no plain string. */
  readonly goKeyType?: string;
};

/** One field of a struct. */
export type FieldSchema = {
  readonly name: string;
  /** Its path element in managedFields, "f:NAME": made once, because a text that is made anew is dear as a key. Absent for custom resources. */
  readonly element?: string;
  readonly schema: Schema;
  /** Number in upstream's protobuf; absent for custom resources. */
  readonly protobufNumber?: number;
  /** Numbers of the messages around the field, outermost first, where JSON inlines what protobuf nests (a Volume's source). */
  readonly protobufPath?: readonly number[];
  /** Go's name of the struct that JSON inlines the field from, for errors: "VolumeSource". */
  readonly inlinedFrom?: string;
  /** True where Go has a pointer: absent and empty are different things. Others are always written to protobuf. */
  readonly isPointer?: boolean;
  readonly isRequired: boolean;
  /** Left out of JSON when empty, as Go's omitempty. */
  readonly omitEmpty: boolean;
  /** Left out of JSON when it is a struct or time without value, as Go's omitzero; omitempty alone keeps those. */
  readonly omitZero?: boolean;
  /** Value that the server fills in when absent. */
  readonly default?: unknown;
  /** patchStrategy for struct-valued fields, for instance ["retainKeys"]. */
  readonly patchStrategy: readonly string[];
};

/** Fixed fields. */
export type StructSchema = {
  readonly kind: "struct";
  /** Upstream's name of the type: "io.k8s.api.core.v1.PodSpec". Empty for custom resources. */
  readonly name: string;
  /** By JSON name, in upstream's order. */
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** The fields in the order of their names. Absent for custom resources. */
  readonly sortedFields?: readonly FieldSchema[];
  readonly mapType: "granular" | "atomic";
  /** True where unknown fields are kept (custom resources with x-kubernetes-preserve-unknown-fields). */
  readonly preservesUnknownFields: boolean;
};

/** A shape. Recursive types refer to themselves, so walk it along an object, never on its own. */
export type Schema = ScalarSchema | ListSchema | MapSchema | StructSchema;
