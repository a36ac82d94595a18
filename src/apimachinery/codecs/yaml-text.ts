/**
 * YAML bodies as the API server understands them: one document, YAML 1.1 as Go's yaml.v2 reads it (0644 is octal, yes and on are true), aliases bounded, keys made strings.
 */
import { badRequest } from "#apimachinery/status-error.ts";

/** Most nodes that aliases may multiply to, against "billion laughs". */
const maxAliasCount = 100;

/** A parsed document, and upstream's complaint about keys that stand twice: "yaml: unmarshal errors:\n  line 4: key "a" already set in map". */
export type YamlText = { readonly value: unknown; readonly duplicates: string | undefined };

/** Parses; loads the parser when first called. Throws 400. */
export async function parseYaml(bytes: Uint8Array): Promise<YamlText> {
  const yaml = await import("yaml");
  const lines = new yaml.LineCounter();
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  const document = yaml.parseDocument(text, {
    version: "1.1",
    uniqueKeys: false,
    stringKeys: true,
    lineCounter: lines,
    customTags: (tags) => tags.filter((tag) => !isForeign(tag)),
  });
  const [error] = document.errors;
  if (error !== undefined) throw badRequest(`error converting YAML to JSON: yaml: ${error.message.split("\n")[0]}`);
  const repeated: string[] = [];
  yaml.visit(document, {
    Map(_key, node) {
      const seen = new Set<string>();
      for (const { key } of node.items) {
        const name = String(key);
        const offset = yaml.isNode(key) ? (key.range?.[0] ?? 0) : 0;
        if (seen.has(name))
          repeated.push(`  line ${lines.linePos(offset).line}: key ${JSON.stringify(name)} already set in map`);
        seen.add(name);
      }
    },
  });
  const duplicates = repeated.length === 0 ? undefined : `yaml: unmarshal errors:\n${repeated.join("\n")}`;
  try {
    return { value: toJson(document.toJS({ maxAliasCount })), duplicates };
  } catch (cause) {
    throw badRequest(`error converting YAML to JSON: yaml: ${(cause as Error).message}`);
  }
}

/** Tags of YAML 1.1 that Go's parser leaves as strings, or that have no place in JSON: base 60 numbers, times, ordered maps, sets. */
function isForeign(tag: unknown): boolean {
  if (typeof tag !== "object" || tag === null) return false;
  const { tag: name, format } = tag as { readonly tag?: string; readonly format?: string };
  return format === "TIME" || /timestamp|omap|pairs|set|binary/.test(name ?? "");
}

/** Plain JSON: what the parser made of numbers beyond JSON becomes null, as JSON would write it. */
function toJson(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}
