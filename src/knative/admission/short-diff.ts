/**
 * What differs between two values, a line per leaf, for messages: `{v1.RevisionSpec}.Field` paths are upstream's, which come from Go; ours are the JSON fields.
 */

/** Lines "path:" with "-: old" and "+: new" below. Empty when nothing differs. */
export function shortDiff(before: unknown, after: unknown): string {
  return diffAt("", before, after).join("\n");
}

function diffAt(path: string, before: unknown, after: unknown): readonly string[] {
  if (isTree(before) && isTree(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
    const step = (key: string) => (Array.isArray(before) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`);
    return keys.flatMap((key) => diffAt(step(key), valueAt(before, key), valueAt(after, key)));
  }
  const [old, fresh] = [JSON.stringify(before), JSON.stringify(after)];
  if (old === fresh) return [];
  return [`${path}:`, ...(old === undefined ? [] : [`\t-: ${old}`]), ...(fresh === undefined ? [] : [`\t+: ${fresh}`])];
}

function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function valueAt(tree: object, key: string): unknown {
  return (tree as Readonly<Record<string, unknown>>)[key];
}
