/**
 * Makes CustomResourceDefinitions out of what is particular to a kind: names, columns, versions. What Knative's kinds and ours have in common (a status subresource, labels) is here.
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
export type KindSchema = {
  /** What the kind is for. */
  readonly description?: string;
  readonly spec: JsonSchemaProps;
  readonly status: JsonSchemaProps;
  /** Without a spec it is refused. Default: one that has none is taken. */
  readonly needsSpec?: boolean;
  /** Rules over the object as a whole. */
  readonly rules?: JsonSchemaProps["x-kubernetes-validations"];
};

/** A version whose form is another one: a webhook converts. */
export type OtherVersion = {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly schema: KindSchema;
  readonly isDeprecated?: boolean;
};

/** The webhook that converts between the versions of a part's kinds. */
export type Converter = { readonly url: string; readonly ca: string };

/** What is particular to one kind. */
export type Kind = {
  readonly group: string;
  /** The one that is stored. */
  readonly version: string;
  /** Others that are served. Without a form of their own the objects look the same in them. */
  readonly otherVersions?: readonly (string | OtherVersion)[];
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

/** The column, in the wide table only. */
export function wide(column: Column): Column {
  return { ...column, priority: 1 };
}

export const ageColumn: Column = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

export const readyColumns: readonly Column[] = [
  textColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
  textColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
];

/** The kind's definition; `part` ("knative-serving") tells whose it is. `converter` is needed for kinds of which a version has a form of its own. */
export function definition(kind: Kind, part: string, converter?: Converter): KubeObject {
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
      ...conversionOf(kind, converter),
    },
  };
  return object as KubeObject;
}

function namesOf({ kind, plural, categories, shortNames = [] }: Kind): object {
  const names = { kind, plural, singular: kind.toLowerCase(), categories };
  return shortNames.length === 0 ? names : { ...names, shortNames };
}

function versionsOf({ version, otherVersions = [], columns, schema }: Kind): readonly object[] {
  const own: OtherVersion = { name: version, columns, schema };
  const others = otherVersions.map((other) => (typeof other === "string" ? { ...own, name: other } : other));
  return [own, ...others].map((one) => ({
    name: one.name,
    served: true,
    storage: one.name === version,
    ...(one.isDeprecated ? { deprecated: true } : {}),
    subresources: { status: {} },
    ...(one.columns.length === 0 ? {} : { additionalPrinterColumns: one.columns }),
    schema: { openAPIV3Schema: schemaOf(one.schema) },
  }));
}

function schemaOf({ description, spec, status, needsSpec, rules }: KindSchema): object {
  return {
    type: "object",
    ...(description === undefined ? {} : { description }),
    ...(needsSpec ? { required: ["spec"] } : {}),
    properties: { spec, status },
    ...(rules === undefined ? {} : { "x-kubernetes-validations": rules }),
  };
}

function conversionOf({ otherVersions = [], kind }: Kind, converter: Converter | undefined): object {
  if (otherVersions.every((other) => typeof other === "string")) return {};
  if (converter === undefined) throw new Error(`versions of ${kind} differ in form: somebody has to convert`);
  const { url, ca } = converter;
  const clientConfig = { url, caBundle: Buffer.from(ca).toString("base64") };
  return { conversion: { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig } } };
}
