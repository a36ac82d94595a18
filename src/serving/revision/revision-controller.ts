/**
 * Gives each Revision a Deployment and a PodAutoscaler, and says how it is. As upstream's `pkg/reconciler/revision` (v1.23).
 */
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, isFalse, isUnknown } from "#knative/conditions.ts";
import { isReady, overwrite, writeStatus } from "#knative/objects.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import {
  byRevision,
  deploymentInformer,
  deployments,
  podInformer,
  revisionInformer,
  type ServingContext,
} from "#serving/common/context.ts";
import { type PodAutoscaler, podAutoscalers, type Revision, revisions, type RevisionStatus } from "#serving/kinds.ts";
import { labels } from "#serving/names.ts";
import { deploymentName, deploymentOf, isOutdated, podAutoscalerOf } from "./deployment-of.ts";
import { Digests } from "./digests.ts";
import { PodTroubles, type Trouble } from "./pod-troubles.ts";
import {
  awaitedPod,
  markAutoscaler,
  markDeployment,
  markPods,
  revisionDependents,
  tellsWhy,
} from "./revision-status.ts";

/** How long news of a ready revision's parts are gathered: when it wakes they come for about so long, its PodAutoscaler's as the last. */
const burstMs = 300;

/** The controller of Revisions. */
export function createRevisionController(context: ServingContext): NamedController {
  return new RevisionController(context).controller;
}

class RevisionController {
  readonly controller: NamedController;
  readonly #keyed: KeyedController;
  readonly #context: ServingContext;
  readonly #events: EventRecorder;
  readonly #digests: Digests;
  readonly #refused: RefusedWrites;
  readonly #troubles: PodTroubles;
  readonly #revisions: Informer<Revision>;
  readonly #deployments: Informer<Deployment>;
  readonly #autoscalers: Informer<PodAutoscaler>;
  readonly #pods: Informer<Pod>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.#events = context.recorderFor("revision-controller");
    this.#refused = new RefusedWrites(context.clock);
    this.#troubles = new PodTroubles(context);
    const keyed = new KeyedController(context, {
      name: "serving-revision",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#keyed = keyed;
    const { clock, images } = context;
    this.#digests = new Digests({ images, clock, onDone: (key) => keyed.queue.add(key) });
    this.#revisions = keyed.watch(revisionInformer(context), {
      onAdd: (revision) => keyed.queue.add(keyOf(revision)),
      onUpdate: (_before, revision) => keyed.queue.add(keyOf(revision)),
      onDelete: (revision) => {
        this.#digests.forget(keyOf(revision));
        this.#refused.forget(keyOf(revision));
        this.#troubles.forget(keyOf(revision));
      },
    });
    const enqueue = (child: KubeObject) => this.#enqueueOwner(child);
    const onChild = {
      onAdd: enqueue,
      onUpdate: (_before: KubeObject, child: KubeObject) => enqueue(child),
      onDelete: enqueue,
    };
    this.#deployments = keyed.watch(deploymentInformer(context), onChild);
    this.#autoscalers = keyed.watch(context.informers.informer<PodAutoscaler>({ resource: podAutoscalers }), onChild);
    this.#pods = keyed.watch(podInformer(context), { onUpdate: (before, pod) => this.#onPod(before, pod) });
    const digests = this.#digests;
    this.controller = {
      name: keyed.name,
      get isIdle() {
        return keyed.isIdle;
      },
      start: (signal) => keyed.start(signal),
      async stop() {
        digests.stop();
        await keyed.stop();
      },
    };
  }

  #enqueueOwner({ metadata }: KubeObject): void {
    const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true);
    if (owner?.kind !== "Revision") return;
    this.#enqueueForPart(metadata?.namespace ?? "", owner.name);
  }

  #enqueueForPart(namespace: string, name: string): void {
    const { status } = this.#revisions.lister.find(namespace, name) ?? {};
    const wasReady = status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True");
    // Of one that is ready nobody waits for news, and they come in bursts.
    this.#keyed.queue.addAfter(`${namespace}/${name}`, wasReady ? burstMs : 0);
  }

  /** The Deployment does not tell when a container of its pods ends. */
  #onPod(before: Pod, pod: Pod): void {
    const revision = pod.metadata?.labels?.[labels.revision];
    if (revision === undefined || semanticEqual(before.status?.containerStatuses, pod.status?.containerStatuses))
      return;
    this.#enqueueForPart(pod.metadata?.namespace ?? "", revision);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const revision = this.#revisions.lister.find(namespace, name);
    if (revision === undefined || revision.metadata?.deletionTimestamp !== undefined) return;
    const conditions = new Conditions(revision.status?.conditions, revisionDependents);
    const wasReady = revision.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
    const found = await this.#look(revision, conditions, signal);
    const now = this.#context.clock.now();
    const { annotations } = revision.status ?? {};
    const status: RevisionStatus = {
      ...(annotations === undefined ? {} : { annotations }),
      ...found.status,
      conditions: conditions.result(now),
    };
    const isNowReady = status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True");
    if (isNowReady && !wasReady)
      this.#events.record(revision, {
        type: "Normal",
        reason: "RevisionReady",
        message: "Revision becomes ready upon all resources being ready",
      });
    await writeStatus(this.#context.client, revisions, { object: revision, status, signal });
    // Not before it is written down: whoever asks a registry again at each look never gets tired of failing.
    if (status.containerStatuses !== undefined) this.#digests.forget(key);
    return found.againAfterMs;
  }

  async #look(
    revision: Revision,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<{ readonly status: RevisionStatus; readonly againAfterMs?: number }> {
    const key = keyOf(revision);
    const digests = this.#findDigests(key, revision);
    if (digests.kind === "waiting") {
      conditions.mark("ResourcesAvailable", isUnknown("ResolvingDigests"));
      return { status: {} };
    }
    if (digests.kind === "failed") {
      conditions.mark("ContainerHealthy", isFalse("ContainerMissing", digests.message));
      return { status: {}, againAfterMs: this.#digests.retryAfterMs(key) };
    }
    const { containerStatuses, initContainerStatuses } = digests;
    const images = {
      ...(containerStatuses.length === 0 ? {} : { containerStatuses }),
      ...(initContainerStatuses.length === 0 ? {} : { initContainerStatuses }),
    };
    const resolved = { ...revision, status: { ...revision.status, ...images } };
    try {
      const deployment = await this.#ensureDeployment(resolved, conditions, signal);
      const scale =
        deployment === undefined ? {} : await this.#ensureAutoscaler(resolved, deployment, { conditions, signal });
      return { status: { ...images, ...scale } };
    } catch (error) {
      if (!(error instanceof WriteRefused)) throw error;
      conditions.mark("ResourcesAvailable", error.mark("FailedCreate"));
      return { status: images, againAfterMs: this.#tellRefusal(revision, error) };
    }
  }

  #tellRefusal(revision: Revision, { message, isNews, retryAfterMs }: WriteRefused): number {
    if (isNews) {
      this.#events.record(revision, { type: "Warning", reason: "FailedCreate", message });
      this.#context.logger.warn("Part of a revision was refused", { revision: keyOf(revision), error: message });
    }
    return retryAfterMs;
  }

  #findDigests(
    key: string,
    revision: Revision,
  ):
    | {
        readonly kind: "resolved";
        readonly containerStatuses: NonNullable<RevisionStatus["containerStatuses"]>;
        readonly initContainerStatuses: NonNullable<RevisionStatus["initContainerStatuses"]>;
      }
    | { readonly kind: "waiting" }
    | { readonly kind: "failed"; readonly message: string } {
    const { containerStatuses, initContainerStatuses = [] } = revision.status ?? {};
    if (containerStatuses !== undefined) return { kind: "resolved", containerStatuses, initContainerStatuses };
    const resolution = this.#digests.resolve(key, revision, this.#context.config.current.deployment);
    if (resolution.kind !== "resolved") return resolution;
    return {
      kind: "resolved",
      containerStatuses: resolution.containers,
      initContainerStatuses: resolution.init,
    };
  }

  async #ensureDeployment(
    revision: Revision,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<Deployment | undefined> {
    const { client, config } = this.#context;
    const { namespace = "" } = revision.metadata ?? {};
    const name = deploymentName(revision);
    const found = this.#deployments.lister.find(namespace, name);
    const wanted = deploymentOf(revision, config.current);
    if (found === undefined) {
      for (const type of revisionDependents) conditions.mark(type, isUnknown("Deploying"));
      const what = `create Deployment ${JSON.stringify(name)}`;
      return await this.#refused.attempt(keyOf(revision), { wanted, what }, () =>
        client.create<Deployment>({ resource: deployments, namespace }, wanted, { signal }),
      );
    }
    if (!isControlledBy(found, revision)) {
      const why = `There is an existing Deployment ${JSON.stringify(name)} that we do not own.`;
      conditions.mark("ResourcesAvailable", isFalse("NotOwned", why));
      return undefined;
    }
    const current = isOutdated(found, wanted) ? await this.#update(revision, { found, wanted, signal }) : found;
    markDeployment(conditions, current);
    const pod = awaitedPod(current, this.#pods.lister.byIndex(byRevision, keyOf(revision)));
    markPods(conditions, current, { pod, warning: await this.#warningOf(revision, pod, signal) });
    return current;
  }

  /** What stands in the way of a pod that a revision waits for to become ready. One that was ready is the autoscaler's affair. */
  async #warningOf(revision: Revision, pod: Pod | undefined, signal: AbortSignal): Promise<Trouble | undefined> {
    const key = keyOf(revision);
    if (pod === undefined || tellsWhy(pod) || isReady(revision)) {
      this.#troubles.forget(key);
      return undefined;
    }
    const { trouble, againAfterMs } = await this.#troubles.look(key, pod, signal);
    this.#keyed.queue.addAfter(key, againAfterMs);
    return trouble;
  }

  /** How many pods there are is the autoscaler's affair. What runs goes on running when the API server refuses what is newer. */
  async #update(
    revision: Revision,
    {
      found,
      wanted,
      signal,
    }: { readonly found: Deployment; readonly wanted: Deployment; readonly signal: AbortSignal },
  ): Promise<Deployment> {
    const { replicas } = found.spec ?? {};
    const spec = { ...wanted.spec!, ...(replicas === undefined ? {} : { replicas }) };
    const changed = { ...wanted, spec };
    const what = `update Deployment ${JSON.stringify(found.metadata?.name)}`;
    try {
      return await this.#refused.attempt(keyOf(revision), { wanted, what }, () =>
        overwrite(this.#context.client, deployments, { found, wanted: changed, signal }),
      );
    } catch (error) {
      if (!(error instanceof WriteRefused)) throw error;
      this.#keyed.queue.addAfter(keyOf(revision), this.#tellRefusal(revision, error));
      return found;
    }
  }

  async #ensureAutoscaler(
    revision: Revision,
    deployment: Deployment,
    { conditions, signal }: { readonly conditions: Conditions; readonly signal: AbortSignal },
  ): Promise<Pick<RevisionStatus, "actualReplicas" | "desiredReplicas">> {
    const { client } = this.#context;
    const { namespace = "", name = "" } = revision.metadata ?? {};
    const wanted = podAutoscalerOf(revision, deployment);
    const found = this.#autoscalers.lister.find(namespace, name);
    if (found === undefined) {
      const what = `create PodAutoscaler ${JSON.stringify(name)}`;
      const made = await this.#refused.attempt(keyOf(revision), { wanted, what }, () =>
        client.create<PodAutoscaler>({ resource: podAutoscalers, namespace }, wanted, { signal }),
      );
      return markAutoscaler(conditions, made);
    }
    if (!isControlledBy(found, revision)) {
      const why = `There is an existing PodAutoscaler ${JSON.stringify(name)} that we do not own.`;
      conditions.mark("ResourcesAvailable", isFalse("NotOwned", why));
      return {};
    }
    const scale = markAutoscaler(conditions, found);
    const isSame =
      semanticEqual(found.spec, wanted.spec) &&
      semanticEqual(found.metadata?.annotations, wanted.metadata?.annotations);
    if (!isSame) await overwrite(client, podAutoscalers, { found, wanted, signal });
    return scale;
  }
}
