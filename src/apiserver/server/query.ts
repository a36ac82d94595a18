/**
 * Queries of URLs.
 */
import type { Query } from "#apiserver/api-request.ts";

/** No parameters. */
export const emptyQuery: Query = { text: "", isEmpty: true, get: () => undefined, getAll: () => [] };

/** Parses what stands behind the "?". */
export function parseQuery(text: string): Query {
  if (text === "") return emptyQuery;
  const parameters = new URLSearchParams(text);
  return {
    text,
    isEmpty: false,
    get: (name) => parameters.get(name) ?? undefined,
    getAll: (name) => parameters.getAll(name),
  };
}

/** A query out of a record, as the client hands it in. */
export function queryOf(record: Readonly<Record<string, string | readonly string[]>> | undefined): Query {
  if (record === undefined) return emptyQuery;
  const getAll = (name: string): readonly string[] => {
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    return value === undefined ? [] : typeof value === "string" ? [value] : value;
  };
  const text = () =>
    new URLSearchParams(
      Object.entries(record).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as [string, string])),
    ).toString();
  for (const _name in record) {
    return {
      get text() {
        return text();
      },
      isEmpty: false,
      get: (name) => getAll(name)[0],
      getAll,
    };
  }
  return emptyQuery;
}
