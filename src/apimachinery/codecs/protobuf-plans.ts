/**
 * How the fields of kinds are written in protobuf, as the transcoder needs it: by their names in the text. Made of schemas, each when it is first met.
 */
import type { FieldSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { Seen } from "./protobuf-repeats.ts";

/** How a value is written. */
type Form =
  | "string"
  | "boolean"
  | "int"
  | "double"
  | "bytes"
  | "time"
  | "microTime"
  | "duration"
  | "quantity"
  | "intOrString"
  | "any"
  | "struct"
  | "other";

/** One value. */
export type Value = { readonly form: Form; readonly wireType: 0 | 1 | 2; readonly struct: StructPlan | undefined };

/** What is to be done for one field. */
export type FieldPlan = {
  /** Its name as it stands in the text, with quotes and colon. */
  readonly key: Buffer;
  readonly tag: number;
  /** Tags of the messages around it that the text has not, outermost first. */
  readonly outerTags: readonly number[];
  readonly shape: "value" | "list" | "map";
  readonly isMetadata: boolean;
  readonly value: Value;
  /** The field that followed when it was last met: mostly it does again. */
  next: FieldPlan | undefined;
  /** Where its value was last met; absent for what is short. */
  readonly seen: Seen | undefined;
  /** The same for the first items of a list. */
  readonly seenItems: readonly Seen[];
};

/** So many items of a list are looked for where they stood before. */
const SEEN_ITEMS = 8;

/** What is known of a struct; `fields` are by name, and there when they were first asked for. */
export type StructPlan = {
  readonly schema: StructSchema;
  fields: ReadonlyMap<string, FieldPlan> | undefined;
  first: FieldPlan | undefined;
};

/** The plans of the structs that were met. */
export class ProtobufPlans {
  readonly #plans = new Map<StructSchema, StructPlan>();

  /** The plan of a struct. */
  of(schema: StructSchema): StructPlan {
    let plan = this.#plans.get(schema);
    if (plan === undefined) {
      plan = { schema, fields: undefined, first: undefined };
      this.#plans.set(schema, plan);
    }
    return plan;
  }

  /** Made when it is first needed: schemas may refer to themselves. */
  fieldsOf(plan: StructPlan): ReadonlyMap<string, FieldPlan> {
    if (plan.fields !== undefined) return plan.fields;
    const fields = new Map<string, FieldPlan>();
    for (const field of plan.schema.fields.values()) {
      if (field.protobufNumber !== undefined) fields.set(field.name, this.#fieldPlan(field, field.protobufNumber));
    }
    plan.fields = fields;
    return fields;
  }

  #fieldPlan({ name, schema, protobufPath = [] }: FieldSchema, number: number): FieldPlan {
    const isMessage = schema.kind === "list" && schema.isProtobufMessage === true;
    const shape = (schema.kind === "list" && !isMessage) || schema.kind === "map" ? schema.kind : "value";
    const value = this.#valueOf(
      schema.kind === "list" && !isMessage ? schema.items : schema.kind === "map" ? schema.values : schema,
    );
    return {
      key: Buffer.from(`${JSON.stringify(name)}:`),
      tag: (number << 3) | (shape === "map" ? 2 : value.wireType),
      outerTags: protobufPath.map((outer) => (outer << 3) | 2),
      shape,
      isMetadata: name === "metadata",
      value,
      next: undefined,
      seen: shape !== "value" || isLong(value) ? new Seen() : undefined,
      seenItems: shape === "list" && isLong(value) ? Array.from({ length: SEEN_ITEMS }, () => new Seen()) : [],
    };
  }

  #valueOf(schema: Schema): Value {
    if (schema.kind === "struct") return { form: "struct", wireType: 2, struct: this.of(schema) };
    if (schema.kind !== "scalar" || schema.union !== undefined)
      return { form: "other", wireType: 2, struct: undefined };
    switch (schema.type) {
      case "boolean":
        return { form: "boolean", wireType: 0, struct: undefined };
      case "int32":
      case "int64":
        return { form: "int", wireType: 0, struct: undefined };
      case "double":
        return { form: "double", wireType: 1, struct: undefined };
      default:
        return { form: schema.type, wireType: 2, struct: undefined };
    }
  }
}

/** True for what is an object in the text. */
function isLong({ form }: Value): boolean {
  return form === "struct" || form === "any";
}
