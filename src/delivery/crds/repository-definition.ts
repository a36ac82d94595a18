/**
 * The kind Repository as a CustomResourceDefinition. What is wrong is refused by the schema and its rules when it is written.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { defaultBranch, repositories } from "#delivery/kinds.ts";
import { ageColumn, definition, type Kind, readyColumns, textColumn, wide } from "#knative/crds/definition.ts";
import { conditions, described, int64, list, object, observedGeneration, string } from "#knative/crds/schema-parts.ts";

const time: JsonSchemaProps = { type: "string", format: "date-time" };
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
  previews: described(
    "What becomes of other branches.",
    object({
      branches: described("Branches that get an address of their own; * stands for any characters. Default: all.", {
        type: "array",
        maxItems: 64,
        items: { type: "string", minLength: 1, maxLength: 200 },
      }),
      timeToLive: described("How long a preview lives after its last push.", { ...duration, default: "72h" }),
    }),
  ),
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

const status = object({
  observedGeneration,
  conditions: conditions("Ready: whether it can be pushed to."),
  url: described("Where it is pushed to, from this machine.", string),
  podUrl: described("Where pods, and whoever has a token, push to.", string),
  webhookUrl: described("Where the Git host outside tells of pushes.", string),
  branches: described(
    "What is deployed: of which branch, which commit, at which addresses, and until when.",
    list(
      object(
        { name: string, commit: string, user: string, deployedAt: time, urls: list(string), expiresAt: time },
        "name",
        "commit",
      ),
    ),
  ),
  lastPush: described(
    "What came of the last push; `nodeless repo log` has what it said.",
    object(
      { branch: string, commit: string, user: string, time, outcome: string, message: string },
      "branch",
      "commit",
      "outcome",
    ),
  ),
  pushes: described(
    "The last pushes that were taken, oldest first.",
    list(
      object(
        { number: int64, branch: string, commit: string, before: string, user: string, time },
        "number",
        "branch",
        "commit",
      ),
    ),
  ),
  webhook: described(
    "Notices of the Git host that were taken, were not genuine, or had come before.",
    object({ accepted: int64, refused: int64, repeated: int64, lastRefusal: string }),
  ),
});

/** Its name becomes a function's and a part of hosts. */
const nameRule = {
  rule: "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
  message: "metadata.name must be a DNS-1035 label of at most 40 characters: it becomes a part of hosts",
};

/** The definition. */
export function repositoryDefinition(): KubeObject {
  const { group, version, resource } = repositories;
  const kind: Kind = {
    group,
    version,
    kind: "Repository",
    plural: resource,
    shortNames: ["repo"],
    categories: ["all"],
    // What its manifests made is an apply set of which it is the parent.
    labels: { "applyset.kubernetes.io/is-parent-type": "true" },
    columns: [
      textColumn("URL", ".status.url"),
      ...readyColumns,
      textColumn("Branch", ".status.lastPush.branch"),
      textColumn("Outcome", ".status.lastPush.outcome"),
      wide(textColumn("Commit", ".status.lastPush.commit")),
      ageColumn,
    ],
    schema: {
      description: "A Git repository that the cluster keeps. A push to it is a deployment.",
      spec: described("What is deployed of it, and how.", { ...spec, default: {} }),
      status: described("How it is, as its controller sees it.", status),
      rules: [nameRule],
    },
  };
  return definition(kind, "nodeless-delivery");
}
