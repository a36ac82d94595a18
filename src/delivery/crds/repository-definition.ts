/**
 * The kind Repository as a CustomResourceDefinition. What is wrong is refused by the schema and its rules when it is written.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { defaultBranch, repositories } from "#delivery/kinds.ts";

const string: JsonSchemaProps = { type: "string" };
const time: JsonSchemaProps = { type: "string", format: "date-time" };
const count: JsonSchemaProps = { type: "integer", format: "int64" };
const size: JsonSchemaProps = {
  anyOf: [{ type: "integer" }, { type: "string" }],
  "x-kubernetes-int-or-string": true,
  pattern: "^[0-9]+(\\.[0-9]+)?(k|M|G|Ki|Mi|Gi)?$",
};
const duration: JsonSchemaProps = { type: "string", pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$", maxLength: 32 };
/** A branch as Git allows it, so far as it matters here. */
const branch: JsonSchemaProps = {
  type: "string",
  pattern: "^[A-Za-z0-9_][A-Za-z0-9._/-]*$",
  minLength: 1,
  maxLength: 200,
};

function object(
  properties: Readonly<Record<string, JsonSchemaProps>>,
  ...required: readonly string[]
): JsonSchemaProps {
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }) };
}

function described(description: string, schema: JsonSchemaProps): JsonSchemaProps {
  return { ...schema, description };
}

const webhook = described(
  "A Git host outside that tells of pushes.",
  object(
    {
      provider: { type: "string", enum: ["github", "gitlab", "gitea"] },
      url: described("What is fetched when it tells.", {
        type: "string",
        pattern: "^(https?|git|ssh)://.+$",
        maxLength: 2048,
      }),
      secretRef: described(
        "What it signs with: a key of a Secret in the same namespace, whose username and password are for fetching.",
        object({ name: { type: "string", minLength: 1 }, key: { type: "string", default: "token" } }, "name"),
      ),
      serviceAccountName: described("Whose rights its deployments have.", { type: "string", default: "default" }),
    },
    "provider",
    "url",
    "secretRef",
  ),
);

const spec = object({
  branch: described("The branch that is live.", { ...branch, default: defaultBranch }),
  path: described("The folder of the tree that is deployed.", {
    type: "string",
    minLength: 1,
    maxLength: 1024,
    "x-kubernetes-validations": [
      {
        rule: "!self.startsWith('/') && !self.split('/').exists(part, part == '..' || part == '.git')",
        message: "must be relative and lead nowhere else",
      },
    ],
  }),
  previews: object({
    branches: described("Branches that get an address of their own; * stands for any characters. Default: all.", {
      type: "array",
      maxItems: 64,
      items: { type: "string", minLength: 1, maxLength: 200 },
    }),
    timeToLive: described("How long a preview lives after its last push.", { ...duration, default: "72h" }),
  }),
  timeoutSeconds: described("How long a deployment may take until it is ready.", {
    type: "integer",
    format: "int64",
    minimum: 1,
    maximum: 3600,
    default: 300,
  }),
  maxPushSize: described("Largest push.", { ...size, default: "256Mi" }),
  maxSize: described("Largest sum of all pushes.", { ...size, default: "2Gi" }),
  webhook,
});

const condition = object(
  { type: string, status: string, lastTransitionTime: string, reason: string, message: string },
  "type",
  "status",
);

const status = object({
  observedGeneration: { type: "integer", format: "int64" },
  conditions: { type: "array", items: condition },
  url: string,
  podUrl: string,
  webhookUrl: string,
  branches: {
    type: "array",
    items: object(
      {
        name: string,
        commit: string,
        user: string,
        deployedAt: time,
        urls: { type: "array", items: string },
        expiresAt: time,
      },
      "name",
      "commit",
    ),
  },
  lastPush: object(
    { branch: string, commit: string, user: string, time, outcome: string, message: string },
    "branch",
    "commit",
    "outcome",
  ),
  webhook: object({ accepted: count, refused: count, repeated: count, lastRefusal: string }),
});

const ready = ".status.conditions[?(@.type=='Ready')]";
const columns = [
  { name: "URL", type: "string", jsonPath: ".status.url" },
  { name: "Ready", type: "string", jsonPath: `${ready}.status` },
  { name: "Reason", type: "string", jsonPath: `${ready}.reason` },
  { name: "Branch", type: "string", jsonPath: ".status.lastPush.branch" },
  { name: "Outcome", type: "string", jsonPath: ".status.lastPush.outcome" },
  { name: "Commit", type: "string", jsonPath: ".status.lastPush.commit", priority: 1 },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

/** The definition. Its name becomes a function's and a part of hosts. */
export function repositoryDefinition(): KubeObject {
  const { group, version, resource } = repositories;
  const nameRule = {
    rule: "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message: "metadata.name must be a DNS-1035 label of at most 40 characters: it becomes a part of hosts",
  };
  // What its manifests made is an apply set of which it is the parent.
  const labels = { "app.kubernetes.io/name": "nodeless-delivery", "applyset.kubernetes.io/is-parent-type": "true" };
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${resource}.${group}`, labels },
    spec: {
      group,
      names: {
        kind: "Repository",
        listKind: "RepositoryList",
        plural: resource,
        singular: "repository",
        shortNames: ["repo"],
        categories: ["all"],
      },
      scope: "Namespaced",
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { spec: { ...spec, default: {} }, status },
              "x-kubernetes-validations": [nameRule],
            },
          },
        },
      ],
    },
  };
  return definition as KubeObject;
}
