/**
 * Tables: what `kubectl get` shows. Columns and cells come from the kind's strategy; kinds without show name and age.
 */
import type { KubeObject, ListMeta } from "#apimachinery/meta.ts";
import type { Draft, TablePrinter } from "#api/strategy.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";

/** How a Table is wanted. */
export type TableOptions = {
  /** What stands in each row's `object`. */
  readonly includeObject: "None" | "Metadata" | "Object";
  /** False for the later events of a watch. */
  readonly hasColumns: boolean;
};

/** Name and creation time: upstream's columns for kinds without their own. */
export const defaultPrinter: TablePrinter = {
  columns: [
    { name: "Name", type: "string", format: "name", description: "Name of the object", priority: 0 },
    { name: "Created At", type: "date", format: "", description: "When the object was created", priority: 0 },
  ],
  row: (object) => [object["metadata"]?.name ?? "", object["metadata"]?.creationTimestamp ?? ""],
};

/** The columns and rows of a resource. */
export function printerOf(resource: ServedResource): TablePrinter {
  return resource.strategy.table ?? defaultPrinter;
}

/** One row's JSON value. */
export function rowOf(
  printer: TablePrinter,
  object: KubeObject,
  row: { readonly includeObject: TableOptions["includeObject"]; readonly version: string; readonly nowMs: number },
): { readonly cells: readonly unknown[]; readonly object?: KubeObject } {
  const cells = printer.row(object as Draft, row.nowMs);
  switch (row.includeObject) {
    case "None":
      return { cells };
    case "Object":
      return { cells, object };
    case "Metadata": {
      const apiVersion = `meta.k8s.io/${row.version}`;
      return { cells, object: { kind: "PartialObjectMetadata", apiVersion, metadata: object.metadata ?? {} } };
    }
  }
}

/** A Table of some objects. */
export function tableOf(
  resource: ServedResource,
  table: {
    readonly objects: readonly KubeObject[];
    readonly version: string;
    readonly options: TableOptions;
    readonly nowMs: number;
    readonly metadata?: ListMeta;
  },
): KubeObject {
  const printer = printerOf(resource);
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
