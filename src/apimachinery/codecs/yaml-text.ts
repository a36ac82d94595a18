/**
 * YAML bodies as the API server understands them: one document, YAML 1.1 as Go's yaml.v2 reads it (0644 is octal, yes and on are true), aliases bounded, keys made strings.
 */
import { badRequest } from "#apimachinery/status-error.ts";
import { assertReadableKey, getOwn, setOwn, sortedKeys } from "./own-key.ts";

/** Most nodes that aliases may multiply to, against "billion laughs". */
const maxAliasCount = 100;

/** Deepest nesting that is read; texts with more unclosed brackets are refused too. */
const maxDepth = 1000;

/** A parsed document, and upstream's complaint about keys that stand twice: "yaml: unmarshal errors:\n  line 4: key "a" already set in map". */
export type YamlText = { readonly value: unknown; readonly duplicates: string | undefined };

/** Parses; loads the parser when first called. Throws 400. */
export async function parseYaml(bytes: Uint8Array): Promise<YamlText> {
  const yaml = await import("yaml");
  if (nestsTooDeeply(bytes)) throw tooDeep();
  const lines = new yaml.LineCounter();
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  const composer = new yaml.Composer({
    version: "1.1",
    uniqueKeys: false,
    stringKeys: true,
    prettyErrors: false,
    customTags: (tags) => [...tags.filter((tag) => !isForeign(tag)), newOctal],
  });
  // Go reads the first document and leaves the rest.
  const document = withoutOverflow(() => {
    for (const each of composer.compose(new yaml.Parser(lines.addNewLine).parse(text))) return each;
  });
  if (document === undefined) return { value: {}, duplicates: undefined };
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0]);
    const [message = ""] = error.message.split("\n");
    throw badRequest(
      `yaml: ${line === 0 ? "" : `line ${line}: `}${message.charAt(0).toLowerCase()}${message.slice(1)}`,
    );
  }
  const repeated: string[] = [];
  yaml.visit(document, {
    Map(_key, node) {
      const seen = new Set<string>();
      for (const { key } of node.items) {
        const name = String(key);
        assertReadableKey(name);
        const offset = yaml.isNode(key) ? (key.range?.[0] ?? 0) : 0;
        if (seen.has(name)) {
          repeated.push(`  line ${lines.linePos(offset).line}: key ${JSON.stringify(name)} already set in map`);
        }
        seen.add(name);
      }
    },
  });
  const duplicates = repeated.length === 0 ? undefined : `yaml: unmarshal errors:\n${repeated.join("\n")}`;
  return { value: toJson(resolve(document, maxAliasCount)) ?? {}, duplicates };
}

/** The parser recurses with indentation too; when the stack ends, the text was too deep. */
function withoutOverflow<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof RangeError ? tooDeep() : error;
  }
}

function tooDeep(): Error {
  return badRequest("yaml: exceeded max depth of 1000");
}

/**
 * Looks at brackets alone, those in texts too, because the parser recurses with them.
 */
function nestsTooDeeply(bytes: Uint8Array): boolean {
  let depth = 0;
  for (const byte of bytes) {
    if (byte === 0x5b || byte === 0x7b) depth++;
    else if ((byte === 0x5d || byte === 0x7d) && depth > 0) depth--;
    if (depth > maxDepth) return true;
  }
  return false;
}

/** Go's parser takes the octal numbers of YAML 1.2 too. */
const newOctal = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  test: /^[-+]?0o[0-7]+$/,
  resolve: (text: string): number => Number.parseInt(text.replace("0o", ""), 8),
} as const;

/** Tags of YAML 1.1 that Go's parser leaves as strings, or that have no place in JSON: base 60 numbers, times, ordered maps, sets. */
function isForeign(tag: unknown): boolean {
  if (typeof tag !== "object" || tag === null) return false;
  const { tag: name, format } = tag as { readonly tag?: string; readonly format?: string };
  return format === "TIME" || /timestamp|omap|pairs|set|binary/.test(name ?? "");
}

/** The document's value with its aliases put in. Too many of them are refused. */
function resolve(document: { toJS(options: { maxAliasCount: number }): unknown }, maxAliasCount: number): unknown {
  try {
    return document.toJS({ maxAliasCount });
  } catch (cause) {
    throw badRequest(`yaml: ${(cause as Error).message}`);
  }
}

/** Plain JSON with keys in order, as Go converts YAML; aliases become copies. */
function toJson(value: unknown, depth = 0): unknown {
  if (depth > maxDepth) throw tooDeep();
  if (typeof value === "number" && !Number.isFinite(value))
    throw badRequest(`json: unsupported value: ${goNumber(value)}`);
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.map((item) => toJson(item, depth + 1));
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "object") return value;
  const object: Record<string, unknown> = {};
  for (const key of sortedKeys(value))
    setOwn(object, key, toJson(getOwn(value as Record<string, unknown>, key), depth + 1));
  return object;
}

function goNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "+Inf" : "-Inf";
}
