/**
 * Brings each revision to the scale that the autoscaler wants, through its Deployment's scale, and says so in the PodAutoscaler's status. As upstream's
 * `pkg/reconciler/autoscaling/kpa` (v1.23).
 */
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, isFalse, isTrue, isUnknown } from "#knative/conditions.ts";
import {
  ensureService,
  ensureSlice,
  type KubeServices,
  kubeServiceInformers,
  ServiceNotOwned,
} from "#knative/kube-services.ts";
import { writeStatus } from "#knative/objects.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import { type AutoscalerView } from "#serving/autoscaler/autoscaler.ts";
import { deciderSpecOf, isKpa } from "#serving/autoscaler/decider-spec.ts";
import {
  byRevision,
  deploymentInformer,
  deployments,
  podInformer,
  type ServingContext,
} from "#serving/common/context.ts";
import { type PodAutoscaler, podAutoscalers, type PodAutoscalerStatus } from "#serving/kinds.ts";
import { labels } from "#serving/names.ts";
import { endsOf, FreshPods, isBackingOff } from "./fresh-pods.ts";
import { dataPlaneSlice, privateServiceName, privateServiceOf, publicServiceOf } from "./revision-services.ts";
import { activeThreshold, isInitialized, type ScaleStep, scaleStep, scaleUnknown } from "./scale.ts";

/** The controller of PodAutoscalers of class KPA. */
export function createPodAutoscalerController(context: ServingContext): NamedController {
  return new PodAutoscalerController(context).controller;
}

/** How long what there is to say of a revision that wakes up waits: its pod is ready by then, and all of it is one write, which the revision follows with one. */
const lullMs = 250;

const revisionKind = { apiVersion: "serving.knative.dev/v1", kind: "Revision" };

const noTraffic = isFalse("NoTraffic", "The target is not receiving traffic.");

class PodAutoscalerController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #autoscalers: Informer<PodAutoscaler>;
  readonly #deployments: Informer<Deployment>;
  readonly #pods: Informer<Pod>;
  readonly #kube: KubeServices;
  readonly #refused: RefusedWrites;
  readonly #fresh: FreshPods;
  readonly #events: EventRecorder;

  constructor(context: ServingContext) {
    this.#context = context;
    this.#refused = new RefusedWrites(context.clock);
    this.#fresh = new FreshPods(context);
    this.#events = context.recorderFor("revision-controller");
    this.controller = new KeyedController(context, {
      name: "serving-podautoscaler",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#autoscalers = this.controller.watch(context.informers.informer<PodAutoscaler>({ resource: podAutoscalers }), {
      onAdd: (autoscaler) => queue.add(keyOf(autoscaler)),
      onUpdate: (_before, autoscaler) => queue.add(keyOf(autoscaler)),
      onDelete: (autoscaler) => {
        this.#refused.forget(keyOf(autoscaler));
        this.#fresh.forget(keyOf(autoscaler));
        context.autoscaler.forget(keyOf(autoscaler));
        context.coldStarts.forget(keyOf(autoscaler));
      },
    });
    this.#deployments = this.controller.watch(deploymentInformer(context));
    const onPod = (pod: Pod) => this.#enqueueRevision(pod);
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: onPod,
      onUpdate: (before, pod) => {
        if (isReadyPod(before) !== isReadyPod(pod) || isBackingOff(before) !== isBackingOff(pod)) onPod(pod);
        this.#tellEnds(before, pod);
      },
      onDelete: onPod,
    });
    this.#kube = { client: context.client, ...kubeServiceInformers(context) };
    this.controller.watch(this.#kube.services);
    this.controller.watch(this.#kube.slices);
    context.autoscaler.onDecision((key) => queue.add(key));
    context.coldStarts.onColdStart((key) => queue.add(key));
    const all = () => {
      for (const autoscaler of this.#autoscalers.lister.list()) queue.add(keyOf(autoscaler));
    };
    context.config.onChange(all);
    context.dataPlane.onChange(all);
  }

  /** In the revision's events, since a pod's own go with it. */
  #tellEnds(before: Pod, pod: Pod): void {
    const { namespace = "", labels: own } = pod.metadata ?? {};
    const name = own?.[labels.revision];
    if (name === undefined || before.status?.containerStatuses === pod.status?.containerStatuses) return;
    const about = { ...revisionKind, namespace, name, uid: own?.[labels.revisionUid] ?? "" };
    for (const end of endsOf(before, pod)) this.#events.record(about, end);
  }

  #enqueueRevision({ metadata }: Pod): void {
    const revision = metadata?.labels?.[labels.revision];
    if (revision === undefined) return;
    const autoscaler = this.#autoscalers.lister.find(metadata?.namespace ?? "", revision);
    // Whoever deploys waits for the first pods.
    const delayMs = autoscaler !== undefined && isInitialized(autoscaler) ? lullMs : 0;
    this.controller.queue.addAfter(`${metadata?.namespace}/${revision}`, delayMs);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const autoscaler = this.#autoscalers.lister.find(namespace, name);
    if (autoscaler === undefined || autoscaler.metadata?.deletionTimestamp !== undefined || !isKpa(autoscaler)) return;
    const { client, clock, config } = this.#context;
    const conditions = new Conditions(autoscaler.status?.conditions, ["Active", "ScaleTargetInitialized", "SKSReady"]);
    const services = await this.#ensureServices(autoscaler, conditions, signal);
    const spec = deciderSpecOf(autoscaler, config.current.autoscaler);
    const view: AutoscalerView = this.#context.autoscaler.ensure(key, spec);
    const options = {
      desired: view.desiredScale,
      stableWindowMs: spec.stableWindowMs,
      nowMs: clock.now(),
      config: config.current,
    };
    const step = scaleStep(autoscaler, options);
    const isWoken = step.apply !== undefined && (await this.#apply(autoscaler, step.apply, signal));
    // Somebody waits for its first pod: what there is to say about that is said when the pod is on its way.
    if (isWoken) return lullMs;
    const pods = this.#pods.lister.byIndex(byRevision, key);
    const ready = pods.filter(isReadyPod).length;
    if (step.want !== 0 && isInitialized(autoscaler)) {
      const againAfterMs = await this.#fresh.replace(key, pods, signal);
      if (againAfterMs !== undefined) this.controller.queue.addAfter(key, againAfterMs);
    }
    this.#markActive(autoscaler, conditions, { step, ready });
    const coldStarts = this.#context.coldStarts.summaryOf(key, autoscaler.status?.coldStarts);
    const status: PodAutoscalerStatus = {
      ...services,
      ...(coldStarts === undefined ? {} : { coldStarts }),
      actualScale: ready,
      ...desiredOf(autoscaler, step),
      conditions: conditions.result(clock.now()),
    };
    await writeStatus(client, podAutoscalers, { object: autoscaler, status, signal });
    return step.againAfterMs;
  }

  async #ensureServices(
    autoscaler: PodAutoscaler,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<Pick<PodAutoscalerStatus, "serviceName" | "metricsServiceName">> {
    const { dataPlane } = this.#context;
    const { name = "" } = autoscaler.metadata ?? {};
    const wanted = [publicServiceOf(autoscaler, dataPlane), privateServiceOf(autoscaler)] as const;
    try {
      const what = `write the Services of revision ${JSON.stringify(name)}`;
      const [open] = await this.#refused.attempt(keyOf(autoscaler), { wanted, what }, () =>
        Promise.all([
          ensureService(this.#kube, { owner: autoscaler, wanted: wanted[0], signal }),
          ensureService(this.#kube, { owner: autoscaler, wanted: wanted[1], signal }),
        ]),
      );
      await ensureSlice(this.#kube, dataPlaneSlice(open, dataPlane), signal);
    } catch (error) {
      if (error instanceof WriteRefused) {
        conditions.mark("SKSReady", error.mark("FailedCreate"));
        this.controller.queue.addAfter(keyOf(autoscaler), error.retryAfterMs);
        return {};
      }
      if (!(error instanceof ServiceNotOwned)) throw error;
      conditions.mark("SKSReady", isUnknown("NotReady", error.message));
      return {};
    }
    conditions.mark("SKSReady", isTrue);
    return { serviceName: name, metricsServiceName: privateServiceName(name) };
  }

  /** True when it had no pods before. */
  async #apply({ metadata, spec }: PodAutoscaler, replicas: number, signal: AbortSignal): Promise<boolean> {
    const namespace = metadata?.namespace ?? "";
    const name = spec?.scaleTargetRef?.name ?? "";
    const deployment = this.#deployments.lister.find(namespace, name);
    if (deployment === undefined || (deployment.spec?.replicas ?? 1) === replicas) return false;
    const ref = { resource: deployments, namespace, name, subresource: "scale" };
    await this.#context.client.patch(ref, { type: "merge", body: { spec: { replicas } } }, { signal });
    const from = deployment.spec?.replicas ?? 1;
    this.#context.logger.info("Scaled revision", { revision: `${namespace}/${metadata?.name}`, from, to: replicas });
    return from === 0;
  }

  #markActive(
    autoscaler: PodAutoscaler,
    conditions: Conditions,
    { step, ready }: { readonly step: ScaleStep; readonly ready: number },
  ): void {
    const threshold = activeThreshold(autoscaler, this.#context.config.current);
    if (ready >= threshold) conditions.mark("ScaleTargetInitialized", isTrue);
    const wasInactive = conditions.is("Active", "False");
    if (step.want === 0 || threshold === 0) {
      const hasFailed = conditions.is("Active", "Unknown") && threshold > 0;
      conditions.mark("Active", hasFailed ? isFalse("TimedOut", "The target could not be activated.") : noTraffic);
      return;
    }
    const isWanted = step.want > 0 || !wasInactive;
    if (!isWanted) {
      if (ready < threshold) conditions.mark("Active", noTraffic);
      return;
    }
    const queued = isUnknown("Queued", "Requests to the target are being buffered as resources are provisioned.");
    conditions.mark("Active", ready < threshold ? queued : isTrue);
  }
}

function desiredOf({ status }: PodAutoscaler, { want }: ScaleStep): { readonly desiredScale?: number } {
  const before = status?.desiredScale;
  // What is not known any more is no news.
  if (want !== scaleUnknown) return { desiredScale: want };
  return before === undefined ? { desiredScale: scaleUnknown } : { desiredScale: before };
}

function isReadyPod({ metadata, status }: Pod): boolean {
  if (metadata?.deletionTimestamp !== undefined) return false;
  return (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
}
