/**
 * Tells the containers of SinkBindings' subjects where their events go: those that are there by writing them, those to come by the webhook. When a binding goes its variables go with it. As upstream's
 * `pkg/reconciler/sinkbinding` and `knative.dev/pkg/webhook/psbinding`.
 */
import { formatLabelSelector } from "#apimachinery/label-selector.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { noIdentityNeeded, resolveSink } from "#eventing/sources/controllers/resolve-sink.ts";
import { type SinkBinding, sinkBindings } from "#eventing/sources/kinds.ts";
import { isFalse, isTrue } from "#knative/conditions.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { refOf } from "#knative/objects.ts";
import { resourceOf, UnknownKind } from "#knative/tracker.ts";
import { withSink, type WithPods } from "./inject-sink.ts";
import { ensureSinkBindingWebhook } from "./sink-binding-webhook.ts";

const finalizer = "sinkbindings.sources.knative.dev";

/** Finds the sink and injects it. */
export function createSinkBindingController(context: EventingContext): NamedController {
  const { client } = context;
  const controller: KindController<SinkBinding> = new KindController<SinkBinding>(context, {
    name: "sinkbinding",
    kind: "SinkBinding",
    resource: sinkBindings,
    dependents: ["SinkProvided", "SinkBindingAvailable", "OIDCIdentityCreated"],
    async look(binding, look) {
      const { conditions, signal } = look;
      conditions.mark("OIDCIdentityCreated", noIdentityNeeded);
      // Not before it can be taken back.
      if (!binding.metadata?.finalizers?.includes(finalizer)) return {};
      const sink = await resolveSink(binding, look);
      if (sink === undefined) return {};
      const resolved = { ...binding, status: { ...binding.status, ...sink } };
      await ensureSinkBindingWebhook(client, living(controller.objects.lister.list(), resolved), signal);
      const found = await findSubjects(client, resolved, look);
      for (const subject of found) await inject(client, subject, resolved, signal);
      const missing = isFalse("SubjectMissing", "the subject of the binding does not exist");
      conditions.mark("SinkBindingAvailable", found.length === 0 && binding.spec?.subject?.name ? missing : isTrue);
      return sink;
    },
  });
  return controller;
}

/** Takes back what was injected, and lets the binding go. */
export function createSinkBindingEnd(context: EventingContext): NamedController {
  const { client, informers } = context;
  const bindings = informers.informer<SinkBinding>({ resource: sinkBindings });
  const controller: KeyedController = new KeyedController(context, {
    name: "sinkbinding-end",
    async reconcile(key, signal) {
      const { namespace, name } = splitKey(key);
      const binding = bindings.lister.find(namespace, name);
      if (binding === undefined) return;
      const finalizers = binding.metadata?.finalizers ?? [];
      if (binding.metadata?.deletionTimestamp === undefined) {
        if (!finalizers.includes(finalizer)) await writeFinalizers(client, binding, [...finalizers, finalizer], signal);
        return;
      }
      if (!finalizers.includes(finalizer)) return;
      await ensureSinkBindingWebhook(client, living(bindings.lister.list()), signal);
      for (const subject of await listSubjects(client, binding, signal))
        await inject(client, subject, undefined, signal);
      await writeFinalizers(
        client,
        binding,
        finalizers.filter((one) => one !== finalizer),
        signal,
      );
    },
  });
  const enqueue = (binding: SinkBinding) => controller.queue.add(keyOf(binding));
  controller.watch(bindings, { onAdd: enqueue, onUpdate: (_, binding) => enqueue(binding) });
  return controller;
}

async function writeFinalizers(
  client: Client,
  binding: SinkBinding,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { resourceVersion } = binding.metadata ?? {};
  const body = { metadata: { finalizers, ...(resourceVersion === undefined ? {} : { resourceVersion }) } };
  await client.patch(refOf(sinkBindings, binding), { type: "merge", body }, { signal });
}

/** Bindings that hold, one of them as it is known to be by now. */
function living(bindings: readonly SinkBinding[], newest?: SinkBinding): readonly SinkBinding[] {
  return bindings
    .map((binding) => (binding.metadata?.uid === newest?.metadata?.uid ? (newest ?? binding) : binding))
    .filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
}

/** As {@link listSubjects}; one that is named is followed, so that its appearance is noticed. */
async function findSubjects(client: Client, binding: SinkBinding, look: Look): Promise<readonly WithPods[]> {
  const { apiVersion = "", kind = "", name } = binding.spec?.subject ?? {};
  if (!name) return await listSubjects(client, binding, look.signal);
  try {
    const found = await look.find<WithPods>({ apiVersion, kind, name, namespace: binding.metadata?.namespace ?? "" });
    return found === undefined ? [] : [found];
  } catch (error) {
    if (error instanceof UnknownKind) return [];
    throw error;
  }
}

async function listSubjects(
  client: Client,
  { metadata, spec }: SinkBinding,
  signal: AbortSignal,
): Promise<readonly WithPods[]> {
  const { apiVersion = "", kind = "", name, selector } = spec?.subject ?? {};
  const ref = { resource: resourceOf({ apiVersion, kind }), namespace: metadata?.namespace ?? "" };
  try {
    if (name) return [await client.get<WithPods>({ ...ref, name }, { signal })];
    const labelSelector = formatLabelSelector(selector);
    return (await client.list<WithPods>(ref, { labelSelector, signal })).items;
  } catch (error) {
    if (hasReason(error, "NotFound")) return [];
    throw error;
  }
}

async function inject(
  client: Client,
  subject: WithPods,
  binding: SinkBinding | undefined,
  signal: AbortSignal,
): Promise<void> {
  const wanted = withSink(subject, binding);
  // What pods a Job makes cannot be changed any more; the webhook has seen to it when it was made.
  if (semanticEqual(wanted.spec, subject.spec) || subject.kind === "Job") return;
  const { apiVersion = "", kind = "" } = subject;
  try {
    await client.update(refOf(resourceOf({ apiVersion, kind }), subject), wanted, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}
