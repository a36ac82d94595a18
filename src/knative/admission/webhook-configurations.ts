/**
 * Tells the API server which writes to ask a part's webhooks about, and where they are now. Names as upstream's, so that refusals read the same.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const admission = { group: "admissionregistration.k8s.io", version: "v1" };

/** Writes of which kinds. */
export type WebhookRule = {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly resources: readonly string[];
};

/** What one part wants to be asked about. */
export type WebhookPart = {
  /** "serving": the webhooks are `webhook.serving.knative.dev`, and its ConfigMaps are in namespace `knative-serving`. */
  readonly part: string;
  readonly rules: readonly WebhookRule[];
};

/** Makes the configurations, or has those that are there point to the server as it is now. */
export async function ensureWebhookConfigurations(
  client: Client,
  server: { readonly url: string; readonly ca: string },
  options: WebhookPart & { readonly signal: AbortSignal },
): Promise<void> {
  const { part, rules, signal } = options;
  const namespace = `knative-${part}`;
  const mutating = { ...admission, resource: "mutatingwebhookconfigurations" };
  const validating = { ...admission, resource: "validatingwebhookconfigurations" };
  const hook = (hookName: string, path: string, about: readonly WebhookRule[], more: object = {}) => ({
    name: hookName,
    admissionReviewVersions: ["v1"],
    sideEffects: "None",
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    timeoutSeconds: 10,
    clientConfig: { url: `${server.url}${path}`, caBundle: Buffer.from(server.ca).toString("base64") },
    rules: about.map((rule) => ({ ...rule, operations: ["CREATE", "UPDATE"], scope: "*" })),
    ...more,
  });
  const configMaps: readonly WebhookRule[] = [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }];
  const inNamespace = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } };
  const name = `webhook.${part}.knative.dev`;
  const all = [
    { resource: mutating, kind: "MutatingWebhookConfiguration", hook: hook(name, "/defaulting", rules) },
    {
      resource: validating,
      kind: "ValidatingWebhookConfiguration",
      hook: hook(`validation.${name}`, "/resource-validation", rules),
    },
    {
      resource: validating,
      kind: "ValidatingWebhookConfiguration",
      hook: hook(`config.${name}`, "/config-validation", configMaps, inNamespace),
    },
  ];
  await Promise.all(
    all.map((one) => ensure(client, one.resource, configuration(one.kind, one.hook, namespace), signal)),
  );
}

function configuration(kind: string, hook: { readonly name: string }, partOf: string): KubeObject {
  const object = {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind,
    metadata: { name: hook.name, labels: { "app.kubernetes.io/name": partOf } },
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
