/**
 * What the printers of Tables share: columns, ages, and the small texts that stand where a value is missing. Upstream's words, from its
 * pkg/printers/internalversion/printers.go; the API server always prints the wide form and kubectl leaves out columns of priority 1.
 */
import { humanDuration } from "#apimachinery/duration.ts";
import { findTimeMs } from "#apimachinery/time.ts";
import type { Draft, TableColumn, TablePrinter } from "#api/strategy.ts";

/** What a cell may hold. */
export type Cell = string | number | boolean | null;

/** A column of strings that is always shown; `changes` makes it another. */
export function column(name: string, changes: Partial<TableColumn> = {}): TableColumn {
  return { name, type: "string", format: "", description: "", priority: 0, ...changes };
}

/** A column that kubectl shows with -o wide only. */
export function wide(name: string, changes: Partial<TableColumn> = {}): TableColumn {
  return column(name, { priority: 1, ...changes });
}

/** A column of whole numbers. */
export function integer(name: string): TableColumn {
  return column(name, { type: "integer" });
}

/** A column of true and false. */
export function boolean(name: string): TableColumn {
  return column(name, { type: "boolean" });
}

/** The first column of nearly every Table. */
export const nameColumn: TableColumn = column("Name", { format: "name" });

/** Time since the object was created. */
export const ageColumn: TableColumn = column("Age");

/** A printer whose first column is the name and whose last is the age. */
export function namedAndAged(
  columns: readonly TableColumn[],
  cells: (object: Draft, now: number) => readonly Cell[],
): TablePrinter {
  return {
    columns: [nameColumn, ...columns, ageColumn],
    row: (object, now) => [nameOf(object), ...cells(object, now), ageOf(object, now)],
  };
}

/** metadata.name. */
export function nameOf(object: Draft): string {
  return object["metadata"]?.name ?? "";
}

/** The object's age: "5m12s". */
export function ageOf(object: Draft, now: number): string {
  return since(object["metadata"]?.creationTimestamp, now);
}

/** Time since a timestamp, "<unknown>" where there is none. */
export function since(timestamp: unknown, now: number): string {
  const ms = typeof timestamp === "string" ? findTimeMs(timestamp) : undefined;
  if (ms === undefined) return "<unknown>";
  return Number.isNaN(now) ? `\u0001${ms}\u0001` : humanDuration(now - ms);
}

/** Given as `now` to a printer: the cells say from when on their ages count, for {@link withAges}. So a row is printed once and shown often. */
export const AGES_LATER: number = Number.NaN;

/** Puts ages into the JSON of cells that were printed with {@link AGES_LATER}. */
export function withAges(json: string, now: number): string {
  return json.replace(/\\u0001(-?\d+)\\u0001/g, (_mark, ms: string) => humanDuration(now - Number(ms)));
}

/** Labels as "a=b,c=d" in the keys' order, "<none>" without any. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined | null): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.sort().join(",") || "<none>";
}

/** Names and images of containers, each joined by commas. */
export function containerCells(podTemplate: Draft | undefined): [names: string, images: string] {
  const containers: readonly Draft[] = podTemplate?.["spec"]?.containers ?? [];
  return [
    containers.map((container) => container["name"] ?? "").join(","),
    containers.map((container) => container["image"] ?? "").join(","),
  ];
}

/** The columns of {@link containerCells}. */
export const containerColumns: readonly TableColumn[] = [wide("Containers"), wide("Images")];

/** The first `max` items and how many more there are: "a,b,c + 2 more...". */
export function firstFew(items: readonly string[], max: number, empty: string, separator = ","): string {
  if (items.length === 0) return empty;
  const shown = items.slice(0, max).join(separator);
  return items.length > max ? `${shown} + ${items.length - max} more...` : shown;
}

/** The text, or `empty` for a missing or empty one. */
export function textOr(value: unknown, empty: string): string {
  return value === undefined || value === null || value === "" ? empty : String(value);
}
