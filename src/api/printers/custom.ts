/**
 * Tables of custom resources: the name, and the columns that their definition asks for by JSONPath. Cells as in apiextensions-apiserver's tableconvertor.
 */
import type { TableColumn, TablePrinter } from "#api/strategy.ts";
import { type Cell, column, nameColumn, nameOf, since } from "./cells.ts";
import { compileJsonPath } from "./json-path.ts";

/** One of a CustomResourceDefinition's additionalPrinterColumns. */
export type PrinterColumn = {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
};

const age: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

/** The printer of a version's columns; without any, the age is shown. Throws JsonPathError for a path that cannot be read. */
export function customTablePrinter(columns: readonly PrinterColumn[] | undefined): TablePrinter {
  const shown = columns === undefined || columns.length === 0 ? [age] : columns;
  const paths = shown.map(({ jsonPath }) => compileJsonPath(jsonPath));
  return {
    columns: [nameColumn, ...shown.map(tableColumn)],
    row: (object, now) => [
      nameOf(object),
      ...shown.map(({ type }, index): Cell => cellOf(type, paths[index]?.(object)[0], now)),
    ],
  };
}

function tableColumn({ name, type, format, description, priority, jsonPath }: PrinterColumn): TableColumn {
  return column(name, {
    type: type as TableColumn["type"],
    format: format ?? "",
    description: description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    priority: priority ?? 0,
  });
}

function cellOf(type: string, value: unknown, now: number): Cell {
  if (value === undefined || value === null) return null;
  switch (type) {
    case "string":
      return typeof value === "string" ? value : JSON.stringify(value);
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      if (typeof value !== "string") return null;
      return value === "" ? "<unknown>" : since(value, now).replace("<unknown>", "<invalid>");
    default:
      return null;
  }
}
