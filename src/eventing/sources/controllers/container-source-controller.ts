/**
 * Runs a ContainerSource's containers as a Deployment, with a SinkBinding that tells them where their events go. Names, labels and conditions as upstream's `pkg/reconciler/containersource` (v1.22).
 */
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import {
  type ContainerSource,
  containerSources,
  type SinkBinding,
  sinkBindings,
  type SourceStatus,
} from "#eventing/sources/kinds.ts";
import { findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import type { Condition } from "#knative/duck.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { childName } from "#knative/names.ts";
import { ownedMeta, overwrite } from "#knative/objects.ts";

const deployments: GroupVersionResource = { group: "apps", version: "v1", resource: "deployments" };

export function createContainerSourceController(context: EventingContext): NamedController {
  const controller: KindController<ContainerSource> = new KindController<ContainerSource>(context, {
    name: "containersource",
    kind: "ContainerSource",
    resource: containerSources,
    dependents: ["SinkBindingReady", "ReceiveAdapterReady"],
    async look(source, look) {
      const binding = await ensureChild(source, look, {
        resource: sinkBindings,
        found: foundBindings,
        wanted: bindingOf(source),
      });
      const deployment = await ensureChild(source, look, {
        resource: deployments,
        found: foundDeployments,
        wanted: deploymentOf(source),
      });
      look.conditions.mark("SinkBindingReady", markOf(findCondition(binding?.status?.conditions, "Ready")));
      look.conditions.mark("ReceiveAdapterReady", markOf(availability(deployment)));
      const { sinkUri, sinkCACerts, sinkAudience } = binding?.status ?? {};
      const status: SourceStatus = {
        ...(sinkUri === undefined ? {} : { sinkUri }),
        ...(sinkCACerts === undefined ? {} : { sinkCACerts }),
        ...(sinkAudience === undefined ? {} : { sinkAudience }),
      };
      return status;
    },
  });
  const foundBindings = controller.watchOwned<SinkBinding>(sinkBindings);
  const foundDeployments = controller.watchOwned<Deployment>(deployments);
  const { client } = context;

  async function ensureChild<T extends KubeObject & { readonly spec?: unknown }>(
    source: ContainerSource,
    { signal }: Look,
    child: { readonly resource: GroupVersionResource; readonly found: Informer<T>; readonly wanted: T },
  ): Promise<T | undefined> {
    const { resource, found, wanted } = child;
    const { namespace = "", name = "" } = wanted.metadata ?? {};
    const before = found.lister.find(namespace, name);
    if (before === undefined) return await client.create<T>({ resource, namespace }, wanted, { signal });
    if (controllerOf(before)?.uid !== source.metadata?.uid)
      throw new Error(
        `${before.kind} ${JSON.stringify(name)} is not owned by ContainerSource ${JSON.stringify(source.metadata?.name)}`,
      );
    const isSame = before.metadata?.annotations?.[generation] === wanted.metadata?.annotations?.[generation];
    if (isSame || semanticEqual(before.spec, wanted.spec)) return before;
    return await overwrite(client, resource, { found: before, wanted, signal });
  }
  return controller;
}

/** Of the source, when the child was written: what defaults and bindings have put into it since is not compared. */
const generation = "nodeless.dev/source-generation";

function metaOf(source: ContainerSource, suffix: string): NonNullable<KubeObject["metadata"]> {
  const name = childName(source.metadata?.name ?? "", suffix);
  const annotations = { [generation]: String(source.metadata?.generation ?? 0) };
  return ownedMeta(source, { name, labels: labelsOf(source), annotations });
}

function labelsOf({ metadata }: ContainerSource): Readonly<Record<string, string>> {
  return {
    "sources.knative.dev/source": "container-source-controller",
    "sources.knative.dev/containerSource": metadata?.name ?? "",
  };
}

function bindingOf(source: ContainerSource): SinkBinding {
  const { sink, ceOverrides } = source.spec ?? {};
  const subject = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    namespace: source.metadata?.namespace ?? "",
    name: childName(source.metadata?.name ?? "", "-deployment"),
  };
  return {
    apiVersion: "sources.knative.dev/v1",
    kind: "SinkBinding",
    metadata: metaOf(source, "-sinkbinding"),
    spec: { subject, ...(sink === undefined ? {} : { sink }), ...(ceOverrides === undefined ? {} : { ceOverrides }) },
  };
}

function deploymentOf(source: ContainerSource): Deployment {
  const { template = {} } = source.spec ?? {};
  const labels = labelsOf(source);
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metaOf(source, "-deployment"),
    spec: {
      selector: { matchLabels: labels },
      template: {
        ...template,
        metadata: { ...template.metadata, labels: { ...template.metadata?.labels, ...labels } },
      },
    },
  } as Deployment;
}

function availability(deployment: Deployment | undefined): Condition | undefined {
  return findCondition(deployment?.status?.conditions as readonly Condition[] | undefined, "Available");
}

function markOf(condition: Condition | undefined): Mark {
  if (condition === undefined) return isUnknown();
  const { status, reason = "", message = "" } = condition;
  if (status === "True") return isTrue;
  return status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}
