/**
 * Tables: what `kubectl get` shows. Columns and cells come from the kind's strategy; kinds without show name and age.
 */
import type { KubeObject, ListMeta } from "#apimachinery/meta.ts";
import type { Draft, TablePrinter, TableRowCondition } from "#api/strategy.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";

/** How a Table is wanted. */
export type TableOptions = {
  /** What stands in each row's `object`. */
  readonly includeObject: "None" | "Metadata" | "Object";
  /** False for the later events of a watch. */
  readonly hasColumns: boolean;
};

/** What must be known of a resource to print its objects. */
export type Printable = Pick<ServedResource, "group" | "resource"> & {
  readonly strategy: Pick<ServedResource["strategy"], "table">;
};

/** The columns and rows of a resource. The printers are loaded with the first Table: a start does not need them. */
export async function printerOf(resource: Printable): Promise<TablePrinter> {
  const { table } = resource.strategy;
  if (table !== undefined) return table;
  const { findTablePrinter } = await import("#api/table-printers.ts");
  return findTablePrinter(resource.group, resource.resource);
}

/** A row as it stands in a Table. */
export type TableRow = {
  readonly cells: readonly unknown[];
  readonly conditions?: readonly TableRowCondition[];
  readonly object?: KubeObject;
};

/** One row's JSON value. */
export function rowOf(
  printer: TablePrinter,
  object: KubeObject,
  row: { readonly includeObject: TableOptions["includeObject"]; readonly version: string; readonly nowMs: number },
): TableRow {
  const conditions = printer.conditions?.(object as Draft) ?? [];
  const cells = { cells: printer.row(object as Draft, row.nowMs), ...(conditions.length === 0 ? {} : { conditions }) };
  switch (row.includeObject) {
    case "None":
      return cells;
    case "Object":
      return { ...cells, object };
    case "Metadata": {
      const apiVersion = `meta.k8s.io/${row.version}`;
      return { ...cells, object: { kind: "PartialObjectMetadata", apiVersion, metadata: object.metadata ?? {} } };
    }
  }
}

/** A Table of some objects. */
export async function tableOf(
  resource: Printable,
  table: {
    readonly objects: readonly KubeObject[];
    readonly version: string;
    readonly options: TableOptions;
    readonly nowMs: number;
    readonly metadata?: ListMeta;
  },
): Promise<KubeObject> {
  const printer = await printerOf(resource);
  const { options, version, nowMs } = table;
  const [first] = table.objects;
  const revision = first?.metadata?.resourceVersion;
  const result = {
    kind: "Table",
    apiVersion: `meta.k8s.io/${version}`,
    metadata: table.metadata ?? (revision === undefined ? {} : { resourceVersion: revision }),
    columnDefinitions: options.hasColumns ? printer.columns : [],
    rows: table.objects.map((object) =>
      rowOf(printer, object, { includeObject: options.includeObject, version, nowMs }),
    ),
  };
  return result as KubeObject;
}
