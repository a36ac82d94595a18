/**
 * Kinds of sources as CustomResourceDefinitions: names, columns and fields of Knative's own as upstream's (v1.22), so that `kubectl get sources` and the `kn` client find what they know.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { anything, authStatus, destination, filters, status } from "#eventing/crds/schema-parts.ts";
import { nodelessGroup, sourcesGroup } from "#eventing/sources/kinds.ts";
import { ageColumn, type Column, type Kind, readyColumns, textColumn } from "#knative/crds/definition.ts";
import { boolean, int64, list, object, string, stringMap } from "#knative/crds/schema-parts.ts";

const sourceSpec = { sink: destination, ceOverrides: object({ extensions: stringMap }) };
const sourceStatus: Readonly<Record<string, JsonSchemaProps>> = {
  ...authStatus,
  sinkUri: string,
  sinkCACerts: string,
  sinkAudience: string,
  ceAttributes: list(object({ type: string, source: string })),
};

const labels = { "eventing.knative.dev/source": "true", "duck.knative.dev/source": "true" };
const sink = textColumn("Sink", ".status.sinkUri");
const columns: readonly Column[] = [sink, ageColumn, ...readyColumns];
const upstream = { group: sourcesGroup, version: "v1", categories: ["all", "knative", "sources"], labels, columns };
const ours = { ...upstream, group: nodelessGroup, version: "v1alpha1", categories: ["sources"] };

const labelSelector = object({
  matchLabels: stringMap,
  matchExpressions: list(object({ key: string, operator: string, values: list(string) })),
});

/** All kinds of sources. */
export const sourceKinds: readonly Kind[] = [
  {
    ...upstream,
    otherVersions: ["v1beta2"],
    kind: "PingSource",
    plural: "pingsources",
    columns: [sink, textColumn("Schedule", ".spec.schedule"), ageColumn, ...readyColumns],
    annotations: eventTypes("dev.knative.sources.ping"),
    schema: {
      spec: object({
        ...sourceSpec,
        schedule: string,
        timezone: string,
        contentType: string,
        data: string,
        dataBase64: string,
      }),
      status: status(sourceStatus),
    },
  },
  {
    ...upstream,
    kind: "ApiServerSource",
    plural: "apiserversources",
    annotations: eventTypes(
      ...["resource", "ref"].flatMap((mode) =>
        ["add", "delete", "update"].map((verb) => `dev.knative.apiserver.${mode}.${verb}`),
      ),
    ),
    schema: {
      spec: object({
        ...sourceSpec,
        resources: list(object({ apiVersion: string, kind: string, selector: labelSelector })),
        owner: object({ apiVersion: string, kind: string }),
        mode: string,
        serviceAccountName: string,
        namespaceSelector: labelSelector,
        filters,
      }),
      status: status({ ...sourceStatus, namespaces: list(string) }),
    },
  },
  {
    ...upstream,
    kind: "ContainerSource",
    plural: "containersources",
    schema: { spec: object({ ...sourceSpec, template: anything }), status: status(sourceStatus) },
  },
  {
    ...upstream,
    kind: "SinkBinding",
    plural: "sinkbindings",
    categories: [...upstream.categories, "bindings"],
    labels: { ...labels, "duck.knative.dev/binding": "true" },
    schema: {
      spec: object({
        ...sourceSpec,
        subject: object({ apiVersion: string, kind: string, namespace: string, name: string, selector: labelSelector }),
      }),
      status: status({ ...sourceStatus, oidcTokenSecretName: string }),
    },
  },
  {
    ...ours,
    kind: "ObjectSource",
    plural: "objectsources",
    columns: [
      sink,
      textColumn("Bucket", ".spec.bucket"),
      textColumn("S3", ".spec.s3.bucket"),
      textColumn("Pattern", ".spec.pattern"),
      ageColumn,
      ...readyColumns,
    ],
    schema: {
      spec: object({
        ...sourceSpec,
        bucket: string,
        persistentVolumeClaim: object({ claimName: string }),
        s3: object({
          bucket: string,
          prefix: string,
          endpoint: string,
          region: string,
          pathStyle: boolean,
          secretRef: object({ name: string }),
          pollInterval: string,
        }),
        pattern: string,
        mode: { type: "string", enum: ["Reference", "Content"] },
      }),
      status: status({
        ...sourceStatus,
        path: string,
        listing: object({ observedGeneration: int64, reason: string, message: string }),
      }),
    },
  },
  {
    ...ours,
    kind: "GitSource",
    plural: "gitsources",
    columns: [sink, textColumn("Repository", ".spec.repository"), ageColumn, ...readyColumns],
    schema: {
      spec: object({ ...sourceSpec, repository: string, branches: list(string) }),
      status: status(sourceStatus),
    },
  },
];

/** Where the `kn` client and registries look for the types of a source's events. */
function eventTypes(...types: readonly string[]): Readonly<Record<string, string>> {
  return { "registry.knative.dev/eventTypes": JSON.stringify(types.map((type) => ({ type }))) };
}
