/**
 * The webhook of SinkBindings: whoever is made or changed and is bound gets the sink's address in the same write, so that not even its first pod lacks it. It is asked only about the kinds and namespaces that there are bindings
 * for.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { SinkBinding } from "#eventing/sources/kinds.ts";
import type { Reviewer } from "#knative/admission/admission-review.ts";
import { resourceOf } from "#knative/tracker.ts";
import { isBound, withSink, type WithPods } from "./inject-sink.ts";

/** Where the webhook server takes such reviews. */
export const sinkBindingPath = "/sinkbindings";

const group = "admissionregistration.k8s.io";
const configurations = { group, version: "v1", resource: "mutatingwebhookconfigurations" };
/** Eventing's own, which says where the webhook server is. */
const ownConfiguration = "webhook.eventing.knative.dev";
const configuration = "sinkbindings.webhook.sources.knative.dev";

/** Injects the sink of the first binding that is about the object. */
export function sinkBindingReviewer(bindings: () => readonly SinkBinding[]): Reviewer {
  return ({ object, kind, subResource }) => {
    if (!object || subResource) return {};
    const named = {
      ...object,
      apiVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
      kind: kind.kind,
    };
    const binding = bindings().find((one) => isBound(one, named));
    return binding === undefined ? {} : { object: withSink(object as WithPods, binding) };
  };
}

type Hook = {
  readonly name: string;
  readonly clientConfig?: { readonly url?: string; readonly caBundle?: string };
  readonly [field: string]: unknown;
};
type Configuration = KubeObject & { readonly webhooks?: readonly Hook[] };

/** Has the API server ask about what there are bindings for; about nothing, when there are none. */
export async function ensureSinkBindingWebhook(
  client: Client,
  bindings: readonly SinkBinding[],
  signal: AbortSignal,
): Promise<void> {
  const webhooks = hooksFor(bindings, await findOwnHook(client, signal));
  const ref = { resource: configurations, name: configuration };
  try {
    const found = await client.get<Configuration>(ref, { signal });
    if (semanticEqual(found.webhooks ?? [], webhooks)) return;
    await client.patch(ref, { type: "merge", body: { webhooks } }, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    const metadata = { name: configuration, labels: { "app.kubernetes.io/name": "knative-eventing" } };
    const made = { apiVersion: `${group}/v1`, kind: "MutatingWebhookConfiguration", metadata, webhooks };
    if (webhooks.length > 0) await client.create({ resource: configurations }, made as KubeObject, { signal });
  }
}

async function findOwnHook(client: Client, signal: AbortSignal): Promise<Hook | undefined> {
  try {
    const ref = { resource: configurations, name: ownConfiguration };
    return (await client.get<Configuration>(ref, { signal })).webhooks?.[0];
  } catch (error) {
    if (hasReason(error, "NotFound")) return undefined;
    throw error;
  }
}

function hooksFor(bindings: readonly SinkBinding[], own: Hook | undefined): readonly Hook[] {
  if (bindings.length === 0 || own?.clientConfig?.url === undefined) return [];
  const { apiVersion: _, ...like } = own;
  const url = new URL(sinkBindingPath, own.clientConfig.url).href;
  const kinds = new Map(
    bindings.map(({ spec }) => [`${spec?.subject?.apiVersion} ${spec?.subject?.kind}`, spec?.subject ?? {}]),
  );
  const namespaces = [...new Set(bindings.map(({ metadata }) => metadata?.namespace ?? ""))].toSorted();
  const rules = [...kinds.values()].map((subject) => ({
    apiGroups: [parseApiVersion(subject.apiVersion ?? "").group],
    apiVersions: ["*"],
    operations: ["CREATE", "UPDATE"],
    resources: [resourceOf(subject).resource],
    scope: "*",
  }));
  const isThere = { key: "kubernetes.io/metadata.name", operator: "In", values: namespaces };
  return [
    {
      ...like,
      name: configuration,
      clientConfig: { ...own.clientConfig, url },
      rules,
      namespaceSelector: { matchExpressions: [isThere] },
    },
  ];
}
