/**
 * Turns Go structs into lines of facts, the format that `src/api/kind-facts-table.ts` reads. One line is one struct:
 *
 *     Name[~]|field|field…           ~ = the whole struct is atomic
 *     jsonName flags#path:type;…     flags: ! required, - omitempty, 0 omitzero, * pointer; path: protobuf numbers, outer message first ("2.1")
 *
 * Types: s string, b boolean, i int32, l int64, f double, y bytes, t Time, u MicroTime, D Duration, q Quantity, I IntOrString, a any,
 * `s(A,B)` enum, `[T` list, `w[T` list that protobuf wraps in a message, `{T` map, `=Name` struct of this package, `=package:Name` of another,
 * `<v1.X>` before a type: its name in Go, `{<v1.K>:T` a map whose keys have one; xA, xB, xS the three unions of JSONSchemaProps. After `;`: L=listType and keys, S=patchStrategy, K=patchMergeKey, I=structs that it is inlined from, m atomic, g granular, d=default (JSON).
 */
import type { GoField, GoPackage, GoType, Markers } from "./go-source.ts";
import { readGoPackage } from "./go-source.ts";
import { packageFolder } from "./go-modules.ts";

const scalars: Readonly<Record<string, string>> = {
  string: "s",
  bool: "b",
  int32: "i",
  int64: "l",
  int: "l",
  float64: "f",
  "interface{}": "a",
  any: "a",
};

const specials: Readonly<Record<string, string>> = {
  "k8s.io/apimachinery/pkg/api/resource.Quantity": "q",
  "k8s.io/apimachinery/pkg/apis/meta/v1.Time": "t",
  "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": "u",
  "k8s.io/apimachinery/pkg/apis/meta/v1.Duration": "D",
  "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1": "a",
  "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "I",
  "k8s.io/apimachinery/pkg/runtime.RawExtension": "a",
  "k8s.io/apimachinery/pkg/types.UID": "<types.UID>s",
  "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "a",
  "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray": "xA",
  "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool": "xB",
  "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "xS",
};

/** "k8s.io/api/core/v1" → "io.k8s.api.core.v1", as OpenAPI names it. */
export function openApiPackage(importPath: string): string {
  return `io.k8s.${importPath.slice("k8s.io/".length).replaceAll("/", ".")}`;
}

/** Reads packages as they are needed and gives their structs' lines. */
export class StructFacts {
  readonly #packages = new Map<string, GoPackage>();

  package(importPath: string): GoPackage {
    const known = this.#packages.get(importPath);
    if (known !== undefined) return known;
    const folder = packageFolder(importPath);
    if (folder === undefined) throw new Error(`no module is known to hold ${importPath}`);
    const read = readGoPackage(importPath, folder);
    this.#packages.set(importPath, read);
    return read;
  }

  /** Lines of all structs of a package that travel as JSON. */
  lines(importPath: string): string[] {
    const goPackage = this.package(importPath);
    const lines: string[] = [];
    for (const type of goPackage.types.values()) {
      const isData = type.fields?.length === 0 || type.fields?.some((field) => field.tags.has("json"));
      if (!isData) continue;
      if (specials[`${importPath}.${type.name}`] !== undefined) continue;
      lines.push([type.name + (hasMapType(type, "atomic") ? "~" : ""), ...this.#fields(goPackage, type, [])].join("|"));
    }
    return lines;
  }

  /** `path` holds the numbers of the messages around; undefined where protobuf has none of it (TypeMeta travels in the envelope). */
  #fields(goPackage: GoPackage, type: GoType, path: readonly number[] | undefined): string[] {
    return (type.fields ?? []).flatMap((field) => {
      const [jsonName = "", ...options] = (field.tags.get("json") ?? "-").split(",");
      if (jsonName === "-") return [];
      const number = Number(field.tags.get("protobuf")?.split(",")[1] ?? Number.NaN);
      const here = Number.isNaN(number) || path === undefined ? undefined : [...path, number];
      if (options.includes("inline") || (jsonName === "" && field.name === "")) {
        if (field.type.startsWith("*")) throw new Error(`${type.name} embeds a pointer: ${field.type}`);
        const embedded = this.#findStruct(goPackage, type, field.type);
        const inlined = this.#fields(embedded.goPackage, embedded.type, here);
        return here === undefined ? inlined : inlined.map((line) => withInlining(line, embedded.type.name));
      }
      return [this.#field(goPackage, type, field, jsonName, options, here ?? [])];
    });
  }

  #field(
    goPackage: GoPackage,
    owner: GoType,
    field: GoField,
    jsonName: string,
    options: readonly string[],
    path: readonly number[],
  ): string {
    const isOptional = field.markers.has("optional") || options.includes("omitempty") || options.includes("omitzero");
    const isRequired = field.markers.has("required") || !isOptional;
    const flags = [
      isRequired ? "!" : "",
      options.includes("omitempty") ? "-" : "",
      options.includes("omitzero") ? "0" : "",
      field.type.startsWith("*") ? "*" : "",
    ].join("");
    const type = this.#type(goPackage, owner, field.type.replace(/^\*/, ""), goPackage.path);
    const line = `${jsonName} ${flags}#${path.join(".")}:${type}${this.#attributes(goPackage, owner, field)}`;
    if (line.includes("|") || line.includes("`") || line.includes("\\")) throw new Error(`cannot write ${line}`);
    return line;
  }

  #attributes(goPackage: GoPackage, owner: GoType, field: GoField): string {
    const named = this.#findNamed(goPackage, owner, field.type.replace(/^\*/, ""));
    const marker = (name: string): readonly string[] => field.markers.get(name) ?? named?.type.markers.get(name) ?? [];
    const listType = marker("listType")[0];
    const keys = marker("listMapKey");
    const strategy = field.tags.get("patchStrategy") ?? "";
    const mergeKey = field.tags.get("patchMergeKey");
    const isAtomic =
      hasMapType(field, "atomic") || (named?.type.fields === undefined && hasMapType(named?.type, "atomic"));
    return [
      listType === undefined ? "" : `;L=${[listType, ...keys].join(",")}`,
      strategy === "" ? "" : `;S=${strategy}`,
      mergeKey === undefined ? "" : `;K=${mergeKey}`,
      isAtomic ? ";m" : "",
      hasMapType(field, "granular") ? ";g" : "",
      this.#default(goPackage, field.markers.get("default")?.[0]),
    ].join("");
  }

  #default(goPackage: GoPackage, text: string | undefined): string {
    if (text === undefined) return "";
    const reference = /^ref\((\w+)\)$/.exec(text)?.[1];
    const value: unknown = reference === undefined ? JSON.parse(text) : goPackage.constants.get(reference)?.value;
    if (value === undefined) throw new Error(`unknown constant in +default=${text}`);
    return `;d=${JSON.stringify(value)}`;
  }

  /** The code of a Go type expression, written for a line in package `home`. */
  #type(goPackage: GoPackage, owner: GoType, expression: string, home: string): string {
    if (expression === "[]byte" || expression === "[]uint8") return "y";
    if (expression.startsWith("[]")) return `[${this.#type(goPackage, owner, expression.slice(2), home)}`;
    const map = /^map\[([\w.]+)\](.*)$/.exec(expression);
    if (map) {
      const [, key = "", value = ""] = map;
      const keyName = key === "string" ? "" : `<${this.#goName(goPackage, owner, key)}>`;
      return `{${keyName}${keyName === "" ? "" : ":"}${this.#type(goPackage, owner, value, home)}`;
    }
    const scalar = scalars[expression];
    if (scalar !== undefined) return scalar;
    const qualified = this.#qualify(goPackage, owner, expression.replace(/^\*/, ""));
    const special = specials[`${qualified.path}.${qualified.name}`];
    if (special !== undefined) return special;
    const found = this.#find(goPackage, owner, expression.replace(/^\*/, ""));
    if (found.type.fields !== undefined) {
      return qualified.path === home ? `=${qualified.name}` : `=${openApiPackage(qualified.path)}:${qualified.name}`;
    }
    const under = this.#type(found.goPackage, found.type, found.type.expression, home);
    const isWrapped = found.type.markers.has("protobuf.nullable") && under.startsWith("[");
    const values = found.type.markers.has("enum") ? enumOf(found.goPackage, found.type) : "";
    return `<${this.#goName(goPackage, owner, expression)}>${isWrapped ? "w" : ""}${under.replace(/^<[^>]*>/, "")}${values}`;
  }

  /** A type as Go's reflection prints it: "v1.Protocol". */
  #goName(goPackage: GoPackage, owner: GoType, expression: string): string {
    const { path, name } = this.#qualify(goPackage, owner, expression.replace(/^\*/, ""));
    return `${path.slice(path.lastIndexOf("/") + 1)}.${name}`;
  }

  #findNamed(
    goPackage: GoPackage,
    owner: GoType,
    expression: string,
  ): { goPackage: GoPackage; type: GoType } | undefined {
    if (!/^[\w.]+$/.test(expression) || scalars[expression] !== undefined) return undefined;
    const qualified = this.#qualify(goPackage, owner, expression);
    if (specials[`${qualified.path}.${qualified.name}`] !== undefined) return undefined;
    return this.#find(goPackage, owner, expression);
  }

  #find(goPackage: GoPackage, owner: GoType, expression: string): { goPackage: GoPackage; type: GoType } {
    const { path, name } = this.#qualify(goPackage, owner, expression);
    const other = this.package(path);
    const type = other.types.get(name);
    if (type === undefined) throw new Error(`${path} declares no ${name} (used in ${goPackage.path} ${owner.name})`);
    return { goPackage: other, type };
  }

  /** Follows aliases to the struct: admissionregistration's older versions borrow v1's types. */
  #findStruct(goPackage: GoPackage, owner: GoType, expression: string): { goPackage: GoPackage; type: GoType } {
    const found = this.#find(goPackage, owner, expression);
    if (found.type.fields !== undefined) return found;
    return this.#findStruct(found.goPackage, found.type, found.type.expression);
  }

  #qualify(goPackage: GoPackage, owner: GoType, expression: string): { path: string; name: string } {
    const dot = expression.indexOf(".");
    if (dot < 0) return { path: goPackage.path, name: expression };
    const path = owner.imports.get(expression.slice(0, dot));
    if (path === undefined) throw new Error(`${goPackage.path} ${owner.name} uses ${expression} without importing it`);
    return { path, name: expression.slice(dot + 1) };
  }
}

/** Notes the struct that a field is inlined from, outermost first. The default stays last, because it may hold anything. */
function withInlining(line: string, name: string): string {
  const [, before = line, inner, after = ""] = /^(.*);I=([^;]*)(.*)$/.exec(line) ?? [];
  if (inner !== undefined) return `${before};I=${name}.${inner}${after}`;
  const at = line.indexOf(";d=");
  return at < 0 ? `${line};I=${name}` : `${line.slice(0, at)};I=${name}${line.slice(at)}`;
}

function hasMapType(marked: { readonly markers: Markers } | undefined, mapType: string): boolean {
  return ["structType", "mapType"].some((marker) => marked?.markers.get(marker)?.includes(mapType));
}

function enumOf(goPackage: GoPackage, type: GoType): string {
  const values = [...goPackage.constants.values()].filter((constant) => constant.type === type.name);
  return `(${[...new Set(values.map((constant) => constant.value))].join(",")})`;
}
