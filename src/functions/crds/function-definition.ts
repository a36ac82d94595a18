/**
 * The kind Function as a CustomResourceDefinition. What can be said by a schema and its rules is: a Function that is wrong is refused when it is written, and no webhook is needed.
 */
import { functions } from "#api/nodeless/function.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { ageColumn, definition, type Kind, readyColumns, textColumn, wide } from "#knative/crds/definition.ts";
import {
  address,
  boolean,
  conditions,
  described,
  int64,
  object,
  observedGeneration,
  quantity,
  string,
} from "#knative/crds/schema-parts.ts";

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

function atLeast(minimum: number, maximum?: number): JsonSchemaProps {
  return { ...int64, minimum, ...(maximum === undefined ? {} : { maximum }) };
}

const optional = described("True: it may be missing.", boolean);
const keyOf = object(
  { name: described("Name of the object.", string), key: described("The key in it.", string), optional },
  "key",
);

const envVar = object(
  {
    name: described("Name of the variable.", { type: "string", minLength: 1 }),
    value: described("Its value.", string),
    valueFrom: described(
      "Where its value comes from, instead.",
      object({
        secretKeyRef: described("A key of a Secret.", keyOf),
        configMapKeyRef: described("A key of a ConfigMap.", keyOf),
        fieldRef: described(
          "A field of the instance's pod.",
          object(
            { apiVersion: described("Default: v1.", string), fieldPath: described("Such as metadata.name.", string) },
            "fieldPath",
          ),
        ),
        resourceFieldRef: described(
          "What the instance has of a resource.",
          object(
            {
              containerName: described("The container; there is one.", string),
              resource: described("Such as limits.memory.", string),
              divisor: described("The unit that it is counted in: 1Mi.", quantity),
            },
            "resource",
          ),
        ),
      }),
    ),
  },
  "name",
);

const whole = object({ name: described("Its name.", string), optional });
const envFrom = object({
  prefix: described("Comes before each name.", string),
  configMapRef: described("The ConfigMap.", whole),
  secretRef: described("The Secret.", whole),
});
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
              description: "The text of each file.",
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
            url: { description: "Its address.", type: "string", pattern: "^(https?|git|ssh)://.+$", maxLength: 2048 },
            revision: {
              description: "Branch, tag or commit.",
              type: "string",
              pattern: "^[^-\\s][^\\s]*$",
              maxLength: 256,
            },
            path: described("The folder in it.", insidePath),
          },
          "url",
        ),
      ),
      artifact: described(
        "A folder packed as an OCI artifact.",
        object(
          { reference: { description: "Its name, best by digest.", type: "string", minLength: 1, maxLength: 1024 } },
          "reference",
        ),
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
  min: described("Instances that are kept while nobody asks. Default: 0, it sleeps.", atLeast(0, 100_000)),
  max: described("Most instances; 0: no bound, which is the default.", atLeast(0, 100_000)),
  initial: described(
    "Instances that a new revision starts with, before anybody asks. Default: 1.",
    atLeast(0, 100_000),
  ),
  target: described(
    "Requests at once that one instance is to have on average; more are made above that.",
    atLeast(1, 100_000),
  ),
  window: {
    description:
      "Over how long its load is looked at, and how long silence lasts before it sleeps. From 6s on; default 60s.",
    type: "string",
    pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
    maxLength: 32,
    "x-kubernetes-validations": [
      {
        rule: "duration(self) >= duration('6s') && duration(self) <= duration('1h')",
        message: "must be from 6s to 1h",
      },
    ],
  },
});

const traffic = object({
  revisionName: described("The revision that gets it: NAME-00001.", string),
  latestRevision: described("True: whatever revision is newest.", boolean),
  percent: described("Its share; all shares together are 100.", atLeast(0, 100)),
  tag: described("A name of its own: TAG-NAME.NAMESPACE.DOMAIN leads to this revision alone.", string),
});

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
      env: described("Environment variables, which are a handler's env too.", list(envVar, 1000)),
      envFrom: described("ConfigMaps and Secrets all of whose keys become environment variables.", list(envFrom, 100)),
      secrets: described(
        "Secrets whose keys become environment variables.",
        list({ type: "string", minLength: 1 }, 100),
      ),
      resources: described(
        "CPU and memory of one instance. Without a limit of memory: 256Mi for isolates, 512Mi for node and python.",
        object({
          limits: described("The most that it may use: cpu: 500m, memory: 128Mi.", quantities),
          requests: described("What is kept for it; little, unless it is said.", quantities),
        }),
      ),
      timeoutSeconds: described("How long an answer may take; then 504. Default: 300.", atLeast(1, 600)),
      concurrency: described("Most requests at once in one instance; 0: no bound.", atLeast(0, 1000)),
      scale: described("How many instances there are.", scale),
      network: described(
        "What the code may connect to.",
        object({
          outbound: described(
            "What the code may connect to: public, private (networks) and hosts, *.example.com among them. An empty list: nothing.",
            object(
              {
                allow: described(
                  "Networks and hosts.",
                  list({ type: "string", pattern: "^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", maxLength: 253 }, 64),
                ),
              },
              "allow",
            ),
          ),
        }),
      ),
      serviceAccountName: described("The account that its instances have in the cluster. Default: default.", string),
      traffic: described(
        "How requests are shared among revisions. Absent: all go to the newest that is ready.",
        list(traffic, 100),
      ),
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

const status = object({
  observedGeneration,
  conditions: conditions("SourceReady, Built and ServiceReady, and Ready, which sums them up."),
  url: described("Where it answers.", string),
  address,
  image: described("What was built, by its digest.", string),
  build: described("What was built from.", object({ inputHash: string, commit: string })),
  buildLog: described("The ConfigMap with what the build said, in its key log.", object({ configMapName: string })),
  latestCreatedRevisionName: described("The newest revision.", string),
  latestReadyRevisionName: described("The newest revision that can answer.", string),
});

/** The definition. */
export function functionDefinition(): KubeObject {
  const { group, version, resource } = functions;
  const kind: Kind = {
    group,
    version,
    kind: "Function",
    plural: resource,
    shortNames: ["fn"],
    categories: ["all"],
    labels: { "duck.knative.dev/addressable": "true" },
    columns: [
      textColumn("URL", ".status.url"),
      ...readyColumns,
      textColumn("Revision", ".status.latestReadyRevisionName"),
      wide(textColumn("Runtime", ".spec.runtime")),
      wide(textColumn("Image", ".status.image")),
      ageColumn,
    ],
    schema: {
      description: "Code with an address. It sleeps while nobody asks.",
      spec: described("The code, what it may use, and how it is scaled.", spec),
      status: described("How it is, as its controller sees it.", status),
      needsSpec: true,
      rules: [nameRule],
    },
  };
  return definition(kind, "nodeless-functions");
}
