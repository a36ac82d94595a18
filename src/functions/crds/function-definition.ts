/**
 * The kind Function as a CustomResourceDefinition. What can be said by a schema and its rules is: a Function that is wrong is refused when it is written, and no webhook is needed.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { functions } from "#functions/kinds.ts";
import { address, boolean, int64, object, quantity, string } from "#knative/crds/schema-parts.ts";

/** Files of a function that is written into its object, all together; etcd's and our own bound on objects is above. */
const mostInlineFiles = 64;
const longestInlineFile = 262_144;
/** A path inside the source's folder. */
const insidePath: JsonSchemaProps = {
  type: "string",
  minLength: 1,
  maxLength: 1024,
  "x-kubernetes-validations": [
    {
      rule: "!self.startsWith('/') && !self.split('/').exists(part, part == '..')",
      message: "must be relative and lead nowhere else",
    },
  ],
};

function list(items: JsonSchemaProps, maxItems: number): JsonSchemaProps {
  return { type: "array", items, maxItems };
}

function described(description: string, schema: JsonSchemaProps): JsonSchemaProps {
  return { ...schema, description };
}

function atLeast(minimum: number, maximum?: number): JsonSchemaProps {
  return { ...int64, minimum, ...(maximum === undefined ? {} : { maximum }) };
}

const keyOf = object({ name: string, key: string, optional: boolean }, "key");

const envVar = object(
  {
    name: { type: "string", minLength: 1 },
    value: string,
    valueFrom: object({
      secretKeyRef: keyOf,
      configMapKeyRef: keyOf,
      fieldRef: object({ apiVersion: string, fieldPath: string }, "fieldPath"),
      resourceFieldRef: object({ containerName: string, resource: string, divisor: quantity }, "resource"),
    }),
  },
  "name",
);

const whole = object({ name: string, optional: boolean });
const envFrom = object({ prefix: string, configMapRef: whole, secretRef: whole });
const quantities: JsonSchemaProps = { type: "object", additionalProperties: quantity };

const source: JsonSchemaProps = {
  ...described(
    "Where the code is; exactly one field.",
    object({
      inline: described(
        "Files, by their path.",
        object(
          {
            files: {
              type: "object",
              minProperties: 1,
              maxProperties: mostInlineFiles,
              additionalProperties: { type: "string", maxLength: longestInlineFile },
              "x-kubernetes-validations": [
                {
                  rule: "self.all(name, !name.startsWith('/') && !name.split('/').exists(part, part == '..'))",
                  message: "names of files are relative and lead nowhere else",
                },
              ],
            },
          },
          "files",
        ),
      ),
      git: described(
        "A repository, a branch, tag or commit (default: the repository's own), and a folder in it.",
        object(
          {
            url: { type: "string", pattern: "^(https?|git|ssh)://.+$", maxLength: 2048 },
            revision: { type: "string", pattern: "^[^-\\s][^\\s]*$", maxLength: 256 },
            path: insidePath,
          },
          "url",
        ),
      ),
      artifact: described(
        "A folder packed as an OCI artifact.",
        object({ reference: { type: "string", minLength: 1, maxLength: 1024 } }, "reference"),
      ),
      image: described("An image that is built already.", { type: "string", minLength: 1, maxLength: 1024 }),
    }),
  ),
  "x-kubernetes-validations": [
    {
      rule: "[has(self.inline), has(self.git), has(self.artifact), has(self.image)].filter(given, given).size() == 1",
      message: "exactly one of inline, git, artifact and image is required",
    },
  ],
};

const scale = object({
  min: atLeast(0, 100_000),
  max: atLeast(0, 100_000),
  initial: atLeast(0, 100_000),
  target: atLeast(1, 100_000),
  window: { type: "string", pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$", maxLength: 32 },
});

const traffic = object({ revisionName: string, latestRevision: boolean, percent: atLeast(0, 100), tag: string });

const spec: JsonSchemaProps = {
  ...object(
    {
      runtime: described("Where the code runs. isolate takes JavaScript and TypeScript, container a Dockerfile.", {
        type: "string",
        enum: ["isolate", "node", "python", "container"],
        default: "isolate",
      }),
      entrypoint: described("The file with the handler, relative to the source; for python FILE:NAME.", insidePath),
      source,
      env: list(envVar, 1000),
      envFrom: list(envFrom, 100),
      secrets: described(
        "Secrets whose keys become environment variables.",
        list({ type: "string", minLength: 1 }, 100),
      ),
      resources: object({ limits: quantities, requests: quantities }),
      timeoutSeconds: described("How long an answer may take.", atLeast(1, 600)),
      concurrency: described("Most requests at once in one instance; 0: no bound.", atLeast(0, 1000)),
      scale,
      network: object({
        outbound: described(
          "What the code may connect to: public, private (networks) and hosts, *.example.com among them. An empty list: nothing.",
          object(
            {
              allow: list({ type: "string", pattern: "^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", maxLength: 253 }, 64),
            },
            "allow",
          ),
        ),
      }),
      serviceAccountName: string,
      traffic: list(traffic, 100),
    },
    "source",
  ),
  "x-kubernetes-validations": [
    {
      rule: "!has(self.scale) || !has(self.scale.min) || !has(self.scale.max) || self.scale.max == 0 || self.scale.min <= self.scale.max",
      message: "scale.min is larger than scale.max",
    },
  ],
};

/** Its Service has the same name, which becomes a part of hosts. */
const nameRule = {
  rule: "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
  message: "metadata.name must be a DNS-1035 label of at most 63 characters: it becomes a part of the function's host",
};

const condition = object(
  { type: string, status: string, severity: string, lastTransitionTime: string, reason: string, message: string },
  "type",
  "status",
);

const status = object({
  observedGeneration: int64,
  conditions: { type: "array", items: condition },
  url: string,
  address,
  image: string,
  build: object({ inputHash: string, commit: string }),
  buildLog: object({ configMapName: string }),
  latestCreatedRevisionName: string,
  latestReadyRevisionName: string,
});

const ready = ".status.conditions[?(@.type=='Ready')]";
const columns = [
  { name: "URL", type: "string", jsonPath: ".status.url" },
  { name: "Ready", type: "string", jsonPath: `${ready}.status` },
  { name: "Reason", type: "string", jsonPath: `${ready}.reason` },
  { name: "Revision", type: "string", jsonPath: ".status.latestReadyRevisionName" },
  { name: "Runtime", type: "string", jsonPath: ".spec.runtime", priority: 1 },
  { name: "Image", type: "string", jsonPath: ".status.image", priority: 1 },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

/** The definition. */
export function functionDefinition(): KubeObject {
  const { group, version, resource } = functions;
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${resource}.${group}`,
      labels: { "app.kubernetes.io/name": "nodeless-functions", "duck.knative.dev/addressable": "true" },
    },
    spec: {
      group,
      names: {
        kind: "Function",
        listKind: "FunctionList",
        plural: resource,
        singular: "function",
        shortNames: ["fn"],
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
              required: ["spec"],
              properties: { spec, status },
              "x-kubernetes-validations": [nameRule],
            },
          },
        },
      ],
    },
  };
  return definition as KubeObject;
}
