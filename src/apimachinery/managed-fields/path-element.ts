/**
 * Path elements of field sets, as texts: `f:name` a field or key, `k:{"name":"x"}` an element of a list by its keys, `v:"x"` an element of a
 * set by its value, `i:0` by its index.
 */
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { ListSchema } from "#apimachinery/schema.ts";

/** The element of a field or of a map's key. */
export function fieldElement(name: string): string {
  return `f:${name}`;
}

/** The field's name, or undefined for elements of lists. */
export function fieldNameOf(element: string): string | undefined {
  return element.startsWith("f:") ? element.slice(2) : undefined;
}

/** The element of a list's item. Undefined when it cannot be told: no key at all, or a set of something else than scalars. */
export function itemElement(list: ListSchema, item: Json): string | undefined {
  return list.listType === "set" ? valueElement(item) : keyElement(list, item);
}

/** For messages: `.name`, `[name="x",port=80]`, `[="x"]`, `[0]`. */
export function elementText(element: string): string {
  const content = element.slice(2);
  switch (element[0]) {
    case "f":
      return `.${content}`;
    case "v":
      return `[=${content}]`;
    case "k":
      return `[${keyTexts(content).join(",")}]`;
    default:
      return `[${content}]`;
  }
}

/** Default of a map list's key, for items that leave it out: protocol is TCP. */
export function keyDefault(list: ListSchema, key: string): Json | undefined {
  const field = list.items.kind === "struct" ? list.items.fields.get(key) : undefined;
  return field?.default as Json | undefined;
}

function keyElement(list: ListSchema, item: Json): string | undefined {
  if (!isJsonObject(item)) return undefined;
  const [only] = list.mapKeys;
  if (list.mapKeys.length === 1 && only !== undefined) {
    const value = item[only] ?? keyDefault(list, only);
    return value === undefined ? undefined : `k:{${JSON.stringify(only)}:${goJson(value)}}`;
  }
  return severalKeys(list, item);
}

function severalKeys(list: ListSchema, item: JsonObject): string | undefined {
  let text = "";
  for (const key of [...list.mapKeys].sort()) {
    const value = item[key] ?? keyDefault(list, key);
    if (value !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${goJson(value)}`;
  }
  return text === "" ? undefined : `k:{${text}}`;
}

function valueElement(item: Json): string | undefined {
  return typeof item === "object" ? undefined : `v:${goJson(item)}`;
}

/** JSON as Go writes it: also `<`, `>` and `&` are escaped. */
function goJson(value: Json): string {
  const text = JSON.stringify(value);
  if (!/[<>&\u2028\u2029]/.test(text)) return text;
  return text.replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function keyTexts(content: string): readonly string[] {
  try {
    const keys = JSON.parse(content) as JsonObject;
    return Object.keys(keys).map((key) => `${key}=${JSON.stringify(keys[key])}`);
  } catch {
    return [content];
  }
}
