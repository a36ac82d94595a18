/**
 * Paths as routes see them: without dot segments (RFC 3986 5.2.4), so that `/public/../admin` is `/admin` for us and for the upstream alike. Slashes stay as they are, and nothing else is decoded.
 */

/** A target, taken apart. */
export type RequestPath = {
  /** Without dot segments. */
  readonly path: string;
  /** With its `?`; empty when there is none. */
  readonly query: string;
};

/** Undefined when the path climbs above its root. */
export function readPath(target: string): RequestPath | undefined {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark);
  if (!mayHaveDots(path)) return { path, query };
  const clean = withoutDots(path);
  return clean === undefined ? undefined : { path: clean, query };
}

function mayHaveDots(path: string): boolean {
  return path.includes("/.") || path.includes("/%2");
}

function withoutDots(path: string): string | undefined {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const [index, segment] of segments.entries()) {
    const plain = segment.replaceAll(/%2e/gi, ".");
    const isLast = index === segments.length - 1;
    if (plain === "..") {
      if (kept.length <= 1) return undefined;
      kept.pop();
    } else if (plain !== ".") kept.push(segment);
    if (isLast && (plain === ".." || plain === ".")) kept.push("");
  }
  return kept.join("/");
}

/** Values of the query's parameters; the first of a name counts. */
export function findQueryValue(query: string, name: string): string | undefined {
  if (query.length < 2) return undefined;
  for (const part of query.slice(1).split("&")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (decode(key) === name) return equals < 0 ? "" : decode(part.slice(equals + 1));
  }
  return undefined;
}

function decode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
