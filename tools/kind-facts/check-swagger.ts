/**
 * Holds the facts read from Go against upstream's published swagger.json, which upstream's own generators made from the same files.
 */
import type { Definition } from "./typescript-types.ts";

/** One line per difference in fields, required fields, list types, merge keys and map types. */
export function checkAgainstSwagger(structText: string, definitions: Readonly<Record<string, Definition>>): string[] {
  const differences: string[] = [];
  let goPackage = "";
  for (const line of structText.split("\n")) {
    if (line.startsWith("@")) {
      goPackage = line.slice(1, line.indexOf(" "));
      continue;
    }
    const [head = "", ...fields] = line.split("|");
    const name = `${goPackage}.${head.replace("~", "")}`;
    const definition = definitions[name];
    if (definition?.properties === undefined) continue;
    differences.push(...compare(name, head, fields, definition));
  }
  return differences;
}

function compare(name: string, head: string, fields: readonly string[], definition: Definition): string[] {
  const differences: string[] = [];
  const expect = (what: string, ours: unknown, theirs: unknown): void => {
    if (ours !== theirs) differences.push(`${name}${what}: ours ${ours}, theirs ${theirs}`);
  };
  const names = fields.map((field) => field.slice(0, field.indexOf(" ")));
  expect(
    " fields",
    [...names].sort().join(),
    Object.keys(definition.properties ?? {})
      .sort()
      .join(),
  );
  const required = fields.filter((field) => /^\S+ !/.test(field)).map((field) => field.slice(0, field.indexOf(" ")));
  expect(" required", required.sort().join(), [...(definition.required ?? [])].sort().join());
  expect(" map type", head.endsWith("~") ? "atomic" : undefined, definition["x-kubernetes-map-type"]);
  for (const field of fields) {
    const property = definition.properties?.[field.slice(0, field.indexOf(" "))] ?? {};
    const attributes = new Map(
      field
        .slice(field.indexOf(" "))
        .split(";")
        .slice(1)
        .map((text) => [text.slice(0, 1), text.slice(2)]),
    );
    const list = [property["x-kubernetes-list-type"], ...(property["x-kubernetes-list-map-keys"] ?? [])].join();
    expect(`.${field} list type`, attributes.get("L") ?? "", list);
    expect(`.${field} strategy`, attributes.get("S"), property["x-kubernetes-patch-strategy"]);
    expect(`.${field} merge key`, attributes.get("K"), property["x-kubernetes-patch-merge-key"]);
    expect(
      `.${field} map type`,
      attributes.has("m") ? "atomic" : attributes.has("g") ? "granular" : undefined,
      property["x-kubernetes-map-type"],
    );
  }
  return differences;
}
