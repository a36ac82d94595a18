/**
 * Kinds of sources as CustomResourceDefinitions: names, columns and fields of Knative's own as upstream's (v1.22), so that `kubectl get sources` and the `kn` client find what they know.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { anything, authStatus, destinationOf, filters, status } from "#eventing/crds/schema-parts.ts";
import { nodelessGroup, sourcesGroup } from "#eventing/sources/kinds.ts";
import { ageColumn, type Column, type Kind, readyColumns, textColumn } from "#knative/crds/definition.ts";
import { boolean, described, int64, list, object, string, stringMap } from "#knative/crds/schema-parts.ts";

const sourceSpec = {
  sink: destinationOf("Who gets the events."),
  ceOverrides: described("Attributes that are put on each event.", object({ extensions: stringMap })),
};
/** A source's spec, with what is particular to it. */
function sourceSpecOf(fields: Readonly<Record<string, JsonSchemaProps>>): JsonSchemaProps {
  return described("What it tells of, and to whom.", object({ ...sourceSpec, ...fields }));
}

const sourceStatus: Readonly<Record<string, JsonSchemaProps>> = {
  ...authStatus,
  sinkUri: described("Where events are sent to.", string),
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
      description: "Sends an event by the clock.",
      spec: sourceSpecOf({
        schedule: described("When, as cron has it: */5 * * * *, with seconds before it if wanted, or @daily.", string),
        timezone: described("Whose clock: Europe/Berlin; UTC unless said.", string),
        contentType: described("What data is: application/json, for instance.", string),
        data: described("The event's data.", string),
        dataBase64: described("The same in base64.", string),
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
      description: "Sends an event for each change of objects in the cluster.",
      spec: sourceSpecOf({
        resources: described(
          "Which objects.",
          list(object({ apiVersion: string, kind: string, selector: labelSelector })),
        ),
        owner: described("Only objects that belong to such a one.", object({ apiVersion: string, kind: string })),
        mode: described("What events hold: Reference (the default) or Resource, the whole object.", string),
        serviceAccountName: described("Who looks: it needs get, list and watch.", string),
        namespaceSelector: described("Namespaces to look at; its own unless said.", labelSelector),
        filters,
      }),
      status: status({ ...sourceStatus, namespaces: list(string) }),
    },
  },
  {
    ...upstream,
    kind: "ContainerSource",
    plural: "containersources",
    schema: {
      description: "Runs containers that send events to $K_SINK.",
      spec: sourceSpecOf({ template: described("The pods, as a Deployment has it.", anything) }),
      status: status(sourceStatus),
    },
  },
  {
    ...upstream,
    kind: "SinkBinding",
    plural: "sinkbindings",
    categories: [...upstream.categories, "bindings"],
    labels: { ...labels, "duck.knative.dev/binding": "true" },
    schema: {
      description: "Tells pods of others where to send events: as $K_SINK.",
      spec: sourceSpecOf({
        subject: described(
          "Whose pods: a Deployment, Job, CronJob, … by name or by labels.",
          object({ apiVersion: string, kind: string, namespace: string, name: string, selector: labelSelector }),
        ),
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
      description: "Sends an event for each file that comes, changes or goes in a folder or a bucket.",
      spec: sourceSpecOf({
        bucket: described("A folder of the cluster's own; status.path says where it is.", string),
        persistentVolumeClaim: described("Or the folder of a claim.", object({ claimName: string })),
        s3: described(
          "Or a bucket of an S3-compatible service.",
          object({
            bucket: described("Its name.", string),
            prefix: described("Only keys that begin so. The pattern is about what follows.", string),
            endpoint: described(
              "The service's address. Default: AWS_ENDPOINT_URL of the Secret, else Amazon's.",
              string,
            ),
            region: described("Default: AWS_REGION of the Secret, else us-east-1.", string),
            pathStyle: described(
              "Whether its name is in the path or in the host. Default: in the path, but for Amazon's.",
              boolean,
            ),
            secretRef: described(
              "A Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: requests are not signed.",
              object({ name: string }),
            ),
            pollInterval: described("How long between two looks. Default: 30s.", string),
          }),
        ),
        pattern: described("Which files: *.png, or **/*.png in all folders below.", string),
        mode: described("What events hold: Reference (the default), or Content, the file itself.", {
          type: "string",
          enum: ["Reference", "Content"],
        }),
      }),
      status: status({
        ...sourceStatus,
        path: string,
        listing: described(
          "What the last look at the bucket brought.",
          object({ observedGeneration: int64, reason: string, message: string }),
        ),
      }),
    },
  },
  {
    ...ours,
    kind: "GitSource",
    plural: "gitsources",
    columns: [sink, textColumn("Repository", ".spec.repository"), ageColumn, ...readyColumns],
    schema: {
      description: "Sends an event for each push to Repositories.",
      spec: sourceSpecOf({
        repository: described("Which Repository; all of the namespace unless said.", string),
        branches: described("Which branches; * stands for any characters.", list(string)),
      }),
      status: status(sourceStatus),
    },
  },
];

/** Where the `kn` client and registries look for the types of a source's events. */
function eventTypes(...types: readonly string[]): Readonly<Record<string, string>> {
  return { "registry.knative.dev/eventTypes": JSON.stringify(types.map((type) => ({ type }))) };
}
