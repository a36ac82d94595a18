/**
 * Makes schemas out of the generated lines of struct facts (format: tools/kind-facts/struct-facts.ts). Only names are indexed at first; a struct's line is
 * parsed when its fields are first looked at, so that a start pays for the few kinds that it touches.
 */
import { fieldElement } from "#apimachinery/managed-fields/path-element.ts";
import type { FieldSchema, ScalarSchema, ScalarType, Schema, StructSchema } from "#apimachinery/schema.ts";

const scalarTypes: Readonly<Record<string, ScalarType>> = {
  s: "string",
  b: "boolean",
  i: "int32",
  l: "int64",
  f: "double",
  y: "bytes",
  t: "time",
  u: "microTime",
  D: "duration",
  q: "quantity",
  I: "intOrString",
  a: "any",
};

const unionForms = { xA: "orArray", xB: "orBool", xS: "orStringArray" } as const;

/** All struct schemas by upstream's name, and which package holds a group and version. */
export class StructSchemas {
  readonly #text: string;
  /** Where lines begin in the text, by package and then by the struct's name. */
  readonly #lines = new Map<string, ReadonlyMap<string, number>>();
  readonly #structs = new Map<string, StructSchema>();
  readonly #packages = new Map<string, string>();

  constructor(text: string) {
    this.#text = text;
    for (let at = 0; at < text.length; ) {
      const space = text.indexOf(" ", at);
      const headEnd = text.indexOf("\n", at);
      const end = text.indexOf("\n@", headEnd);
      const goPackage = text.slice(at + 1, space);
      this.#packages.set(text.slice(space + 1, headEnd), goPackage);
      this.#lines.set(goPackage, indexLines(text, headEnd + 1, end < 0 ? text.length : end));
      at = end < 0 ? text.length : end + 1;
    }
  }

  /** The struct of a kind, or undefined. */
  findKind(group: string, version: string, kind: string): StructSchema | undefined {
    const goPackage = this.#packages.get(`${group}/${version}`);
    return goPackage === undefined ? undefined : this.find(`${goPackage}.${kind}`);
  }

  /** The struct by upstream's full name, "io.k8s.api.core.v1.PodSpec", or undefined. */
  find(name: string): StructSchema | undefined {
    const known = this.#structs.get(name);
    if (known !== undefined) return known;
    const dot = name.lastIndexOf(".");
    const start = this.#lines.get(name.slice(0, dot))?.get(name.slice(dot + 1));
    if (start === undefined) return undefined;
    const end = this.#text.indexOf("\n", start);
    const line = this.#text.slice(start, end < 0 ? undefined : end);
    const made = new GeneratedStruct(name, line, (referred) => this.#get(referred));
    this.#structs.set(name, made);
    return made;
  }

  #get(name: string): StructSchema {
    const found = this.find(name);
    if (found === undefined) throw new Error(`kind facts refer to ${name}, which they do not hold`);
    return found;
  }
}

/** Where each line between two places begins, by the name that it begins with: up to "|", "~" or the line's end. */
function indexLines(text: string, start: number, end: number): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  for (let at = start; at < end; ) {
    let stop = at;
    for (let code = text.charCodeAt(stop); code !== 0x7c && code !== 0x7e && code !== 0x0a && stop < end; ) {
      code = text.charCodeAt(++stop);
    }
    lines.set(text.slice(at, stop), at);
    const next = text.indexOf("\n", stop);
    at = next < 0 ? end : next + 1;
  }
  return lines;
}

class GeneratedStruct implements StructSchema {
  readonly kind = "struct";
  readonly name: string;
  readonly mapType: "granular" | "atomic";
  readonly preservesUnknownFields = false;
  readonly #line: string;
  readonly #find: (name: string) => StructSchema;
  #fields: ReadonlyMap<string, FieldSchema> | undefined;
  #sortedFields: readonly FieldSchema[] | undefined;

  constructor(name: string, line: string, find: (name: string) => StructSchema, mapType?: "granular" | "atomic") {
    this.name = name;
    this.#line = line;
    this.#find = find;
    this.mapType = mapType ?? (/^\w+~/.test(line) ? "atomic" : "granular");
  }

  get fields(): ReadonlyMap<string, FieldSchema> {
    this.#fields ??= this.#parse();
    return this.#fields;
  }

  get sortedFields(): readonly FieldSchema[] {
    this.#sortedFields ??= [...this.fields.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#sortedFields;
  }

  /** The same struct where a field says that it is atomic or granular against its type. */
  withMapType(mapType: "granular" | "atomic"): StructSchema {
    return mapType === this.mapType ? this : new GeneratedStruct(this.name, this.#line, this.#find, mapType);
  }

  #parse(): ReadonlyMap<string, FieldSchema> {
    const fields = new Map<string, FieldSchema>();
    for (const text of this.#line.split("|").slice(1)) {
      const field = this.#parseField(text);
      fields.set(field.name, field);
    }
    return fields;
  }

  #parseField(text: string): FieldSchema {
    const [, name = "", flags = "", path = "", rest = ""] = /^(\S+) ([^#]*)#([\d.]*):(.*)$/.exec(text) ?? [];
    const { code, attributes } = splitAttributes(rest);
    const numbers = path === "" ? [] : path.split(".").map(Number);
    const protobufNumber = numbers.pop();
    const patchStrategy = attributes.get("S")?.split(",") ?? [];
    const defaultText = attributes.get("d");
    const inlinedFrom = attributes.get("I");
    return {
      name,
      element: fieldElement(name),
      schema: this.#schema(code, attributes, patchStrategy),
      ...(protobufNumber === undefined ? {} : { protobufNumber }),
      ...(numbers.length === 0 ? {} : { protobufPath: numbers }),
      ...(inlinedFrom === undefined ? {} : { inlinedFrom }),
      ...(flags.includes("*") ? { isPointer: true } : {}),
      isRequired: flags.includes("!"),
      omitEmpty: flags.includes("-"),
      ...(flags.includes("0") ? { omitZero: true } : {}),
      ...(defaultText === undefined ? {} : { default: JSON.parse(defaultText) as unknown }),
      patchStrategy,
    };
  }

  #schema(text: string, attributes: ReadonlyMap<string, string>, patchStrategy: readonly string[]): Schema {
    const [, name, code = text] = /^<([^>]*)>(.*)$/.exec(text) ?? [];
    const goType = name === undefined ? {} : { goType: name };
    const inner = (each: string): Schema => this.#schema(each, new Map(), []);
    switch (code[0]) {
      case "=":
        return this.#reference(code.slice(1), attributes);
      case "{": {
        const [, goKeyType, values = code.slice(1)] = /^\{<([^>]*)>:(.*)$/.exec(code) ?? [];
        return {
          kind: "map",
          values: inner(values),
          mapType: attributes.has("m") ? "atomic" : "granular",
          patchStrategy,
          ...goType,
          ...(goKeyType === undefined ? {} : { goKeyType }),
        };
      }
      case "[":
      case "w": {
        const isProtobufMessage = code.startsWith("w");
        const [listType = "atomic", ...mapKeys] = attributes.get("L")?.split(",") ?? [];
        const patchMergeKey = attributes.get("K");
        return {
          kind: "list",
          items: inner(code.slice(isProtobufMessage ? 2 : 1)),
          listType: listType as "atomic" | "set" | "map",
          mapKeys,
          patchStrategy,
          ...goType,
          ...(patchMergeKey === undefined ? {} : { patchMergeKey }),
          ...(isProtobufMessage ? { isProtobufMessage } : {}),
        };
      }
      default:
        return { ...this.#scalar(code), ...goType };
    }
  }

  #reference(reference: string, attributes: ReadonlyMap<string, string>): StructSchema {
    const colon = reference.indexOf(":");
    const own = this.name.slice(0, this.name.lastIndexOf("."));
    const name = colon < 0 ? `${own}.${reference}` : `${reference.slice(0, colon)}.${reference.slice(colon + 1)}`;
    const struct = this.#find(name);
    const mapType = attributes.has("m") ? "atomic" : attributes.has("g") ? "granular" : undefined;
    return mapType !== undefined && struct instanceof GeneratedStruct ? struct.withMapType(mapType) : struct;
  }

  #scalar(code: string): ScalarSchema {
    if (code === "xA" || code === "xB" || code === "xS") {
      const struct = this.#find(`${this.name.slice(0, this.name.lastIndexOf("."))}.JSONSchemaProps`);
      return { kind: "scalar", type: "any", union: { form: unionForms[code], struct } };
    }
    const type = scalarTypes[code[0] ?? ""];
    if (type === undefined) throw new Error(`kind facts hold the unknown type code ${code} in ${this.name}`);
    return code.length === 1 ? { kind: "scalar", type } : { kind: "scalar", type, enum: code.slice(2, -1).split(",") };
  }
}

/** Splits `[=Volume;L=map,name;d="a"` into the type's code and the attributes by letter. */
function splitAttributes(text: string): { code: string; attributes: ReadonlyMap<string, string> } {
  const [code = "", ...rest] = text.split(";");
  return { code, attributes: new Map(rest.map((attribute) => [attribute.slice(0, 1), attribute.slice(2)])) };
}
