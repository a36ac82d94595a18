/**
 * Reads type declarations, string constants and marker comments (`+optional`, `+listType=map`) out of gofmt-formatted Go files.
 * It knows as much Go as API packages use: structs with tags, named types, const blocks. Sentences of comments are not kept.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Markers by name; one that stands several times (listMapKey) has several values. */
export type Markers = ReadonlyMap<string, readonly string[]>;

/** One field of a Go struct. `name` is empty for embedded ones. */
export type GoField = {
  readonly name: string;
  readonly type: string;
  readonly tags: ReadonlyMap<string, string>;
  readonly markers: Markers;
};

/** A declared type: a struct has `fields`, another one the expression that it stands for. */
export type GoType = {
  readonly name: string;
  readonly fields: readonly GoField[] | undefined;
  readonly expression: string;
  readonly markers: Markers;
  /** Import paths by the names that the declaring file gives them. */
  readonly imports: ReadonlyMap<string, string>;
};

/** What a package declares. Constants by name, with their type's name and their string value. */
export type GoPackage = {
  readonly path: string;
  readonly types: ReadonlyMap<string, GoType>;
  readonly constants: ReadonlyMap<string, { readonly type: string; readonly value: string }>;
};

/** Reads all files of a package but tests and generated ones. */
export function readGoPackage(path: string, folder: string): GoPackage {
  const types = new Map<string, GoType>();
  const constants = new Map<string, { type: string; value: string }>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".go") || file.endsWith("_test.go") || /generated/.test(file)) continue;
    readGoFile(readFileSync(join(folder, file), "utf8"), types, constants);
  }
  return { path, types, constants };
}

function readGoFile(
  text: string,
  types: Map<string, GoType>,
  constants: Map<string, { type: string; value: string }>,
): void {
  const imports = readImports(text);
  const lines = text.split("\n");
  let comments: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const comment = /^\s*\/\/(.*)$/.exec(line);
    if (comment) {
      comments.push((comment[1] ?? "").trim());
      continue;
    }
    if (line.trim() === "") continue;
    const constant = /^(?:const)?\s*(\w+)\s+(\w+)\s+=\s+"((?:[^"\\]|\\.)*)"/.exec(line);
    if (constant) constants.set(constant[1] ?? "", { type: constant[2] ?? "", value: constant[3] ?? "" });
    const declared = /^type (\w+) (?:= )?(.+)$/.exec(line);
    if (declared) {
      const [, name = "", rest = ""] = declared;
      const isStruct = /^struct\s*\{$/.test(rest);
      const end = isStruct ? lines.indexOf("}", at) : at;
      const fields = isStruct ? readFields(lines.slice(at + 1, end)) : rest === "struct{}" ? [] : undefined;
      const expression = isStruct ? "" : rest.replace(/\s*\/\/.*/, "");
      types.set(name, { name, fields, expression, markers: readMarkers(comments), imports });
      at = end;
    }
    comments = [];
  }
}

function readFields(lines: readonly string[]): GoField[] {
  const fields: GoField[] = [];
  let comments: string[] = [];
  for (const line of lines) {
    const comment = /^\s*\/\/(.*)$/.exec(line);
    if (comment) {
      comments.push((comment[1] ?? "").trim());
      continue;
    }
    if (line.trim() === "") continue;
    const field = /^\s*(?:(\w+)\s+)?([^\s`]+)(?:\s+`([^`]*)`)?/.exec(line);
    if (field) {
      const [, name = "", type = "", tags = ""] = field;
      fields.push({ name, type, tags: readTags(tags), markers: readMarkers(comments) });
    }
    comments = [];
  }
  return fields;
}

function readTags(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(/(\w+):"([^"]*)"/g)].map((match) => [match[1] ?? "", match[2] ?? ""]));
}

function readMarkers(comments: readonly string[]): Markers {
  const markers = new Map<string, string[]>();
  for (const comment of comments) {
    const marker = /^\+([\w:.()]+)(?:=(.*))?$/.exec(comment);
    if (!marker) continue;
    const [, name = "", value = ""] = marker;
    markers.set(name, [...(markers.get(name) ?? []), value.trim()]);
  }
  return markers;
}

function readImports(text: string): ReadonlyMap<string, string> {
  const block = /^import \(\n([\s\S]*?)\n\)/m.exec(text)?.[1] ?? /^import (.*)$/m.exec(text)?.[1] ?? "";
  const imports = new Map<string, string>();
  for (const match of block.matchAll(/^\s*(\w+)?\s*"([^"]+)"/gm)) {
    const path = match[2] ?? "";
    imports.set(match[1] ?? path.slice(path.lastIndexOf("/") + 1), path);
  }
  return imports;
}
