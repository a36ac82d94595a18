/**
 * Makes CustomResourceDefinitions out of what is particular to a kind: names, columns, versions. What all of Knative's kinds have in common (a status subresource, labels) is here.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";

export type Column = {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  /** Above 0: in the wide table only. */
  readonly priority?: number;
};

/** What spec and status may hold. */
export type KindSchema = { readonly spec: JsonSchemaProps; readonly status: JsonSchemaProps };

/** What is particular to one kind. */
export type Kind = {
  readonly group: string;
  /** The one that is stored. */
  readonly version: string;
  /** Others that are served; the objects look the same in them. */
  readonly otherVersions?: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories: readonly string[];
  readonly columns: readonly Column[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly isClusterScoped?: boolean;
  readonly schema: KindSchema;
};

export function textColumn(name: string, jsonPath: string): Column {
  return { name, type: "string", jsonPath };
}

export function countColumn(name: string, jsonPath: string): Column {
  return { name, type: "integer", jsonPath };
}

export const ageColumn: Column = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

export const readyColumns: readonly Column[] = [
  textColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
  textColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
];

/** The kind's definition; `part` ("knative-serving") tells whose it is. */
export function definition(kind: Kind, part: string): KubeObject {
  const { group, plural, labels, annotations } = kind;
  const object = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      labels: { "app.kubernetes.io/name": part, "knative.dev/crd-install": "true", ...labels },
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      group,
      names: namesOf(kind),
      scope: kind.isClusterScoped ? "Cluster" : "Namespaced",
      versions: versionsOf(kind),
    },
  };
  return object as KubeObject;
}

function namesOf({ kind, plural, categories, shortNames = [] }: Kind): object {
  const names = { kind, plural, singular: kind.toLowerCase(), categories };
  return shortNames.length === 0 ? names : { ...names, shortNames };
}

function versionsOf({ version, otherVersions = [], columns, schema }: Kind): readonly object[] {
  const { spec, status } = schema;
  return [version, ...otherVersions].map((name) => ({
    name,
    served: true,
    storage: name === version,
    subresources: { status: {} },
    ...(columns.length === 0 ? {} : { additionalPrinterColumns: columns }),
    schema: { openAPIV3Schema: { type: "object", properties: { spec, status } } },
  }));
}
