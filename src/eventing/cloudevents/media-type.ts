/**
 * Media types as Content-Type and `datacontenttype` have them (RFC 2045, RFC 9110 §8.3.1): type and subtype in lower case, and the character set.
 */

export type MediaType = {
  /** `application/json`: without parameters, in lower case. */
  readonly essence: string;
  /** Lower case; absent when none is given. */
  readonly charset?: string;
};

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Undefined when `text` is no media type. */
export function parseMediaType(text: string): MediaType | undefined {
  const end = text.indexOf(";");
  const essence = (end < 0 ? text : text.slice(0, end)).trim().toLowerCase();
  const slash = essence.indexOf("/");
  if (slash < 0 || !token.test(essence.slice(0, slash)) || !token.test(essence.slice(slash + 1))) return undefined;
  if (end < 0) return { essence };
  const charset = findCharset(text.slice(end + 1));
  return charset === undefined ? { essence } : { essence, charset };
}

/** Whether data of this type is JSON: a subtype of `json`, or one that ends with `+json`. */
export function isJsonType(essence: string): boolean {
  return essence.endsWith("/json") || essence.endsWith("+json");
}

/** Whether data of this type is text that a JSON string may hold. */
export function isTextType(essence: string): boolean {
  return essence.startsWith("text/") || essence.endsWith("/xml") || essence.endsWith("+xml");
}

function findCharset(parameters: string): string | undefined {
  for (const parameter of parameters.split(";")) {
    const at = parameter.indexOf("=");
    if (at < 0 || parameter.slice(0, at).trim().toLowerCase() !== "charset") continue;
    const value = parameter.slice(at + 1).trim();
    const bare = value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    return bare.toLowerCase();
  }
  return undefined;
}
