/**
 * Tells the API server which writes to ask Serving's webhooks about, and where they are now. Names as upstream's, so that refusals read the same.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { servingGroup, servingNamespace } from "#serving/names.ts";

const admission = { group: "admissionregistration.k8s.io", version: "v1" };

type Rule = {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly resources: readonly string[];
};

const servingRules: readonly Rule[] = [
  {
    apiGroups: [servingGroup],
    apiVersions: ["v1"],
    resources: ["services", "configurations", "revisions", "routes"],
  },
  { apiGroups: [servingGroup], apiVersions: ["v1beta1"], resources: ["domainmappings"] },
];

/** Makes the configurations, or has those that are there point to the server as it is now. */
export async function ensureWebhookConfigurations(
  client: Client,
  server: { readonly url: string; readonly ca: string },
  signal: AbortSignal,
): Promise<void> {
  const mutating = { ...admission, resource: "mutatingwebhookconfigurations" };
  const validating = { ...admission, resource: "validatingwebhookconfigurations" };
  const hook = (name: string, path: string, rules: readonly Rule[], more: object = {}) => ({
    name,
    admissionReviewVersions: ["v1"],
    sideEffects: "None",
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    timeoutSeconds: 10,
    clientConfig: { url: `${server.url}${path}`, caBundle: Buffer.from(server.ca).toString("base64") },
    rules: rules.map((rule) => ({ ...rule, operations: ["CREATE", "UPDATE"], scope: "*" })),
    ...more,
  });
  const configMaps: readonly Rule[] = [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }];
  const inNamespace = {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": servingNamespace } },
  };
  const name = "webhook.serving.knative.dev";
  await Promise.all([
    ensure(
      client,
      mutating,
      configuration("MutatingWebhookConfiguration", hook(name, "/defaulting", servingRules)),
      signal,
    ),
    ensure(
      client,
      validating,
      configuration("ValidatingWebhookConfiguration", hook(`validation.${name}`, "/resource-validation", servingRules)),
      signal,
    ),
    ensure(
      client,
      validating,
      configuration(
        "ValidatingWebhookConfiguration",
        hook(`config.${name}`, "/config-validation", configMaps, inNamespace),
      ),
      signal,
    ),
  ]);
}

function configuration(kind: string, hook: { readonly name: string }): KubeObject {
  const object = {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind,
    metadata: { name: hook.name, labels: { "app.kubernetes.io/name": "knative-serving" } },
    webhooks: [hook],
  };
  return object as KubeObject;
}

async function ensure(
  client: Client,
  resource: GroupVersionResource,
  wanted: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const name = wanted.metadata?.name ?? "";
  const { webhooks } = wanted as KubeObject & { readonly webhooks: unknown };
  try {
    await client.patch({ resource, name }, { type: "merge", body: { webhooks } }, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    await client.create({ resource }, wanted, { signal });
  }
}
