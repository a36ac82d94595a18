/**
 * Starts Serving's control side: installs its kinds, serves their admission webhooks, and runs the controllers and the autoscaler. Who starts it joins it to the data planes.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { ensureWebhookConfigurations } from "#knative/admission/webhook-configurations.ts";
import { startWebhookServer } from "#knative/admission/webhook-server.ts";
import { ensureNamespace } from "#knative/namespace.ts";
import { ensureClusterRoles } from "#knative/roles.ts";
import { servingReviewers } from "./admission/reviewers.ts";
import { servingRules } from "./admission/rules.ts";
import { Autoscaler } from "./autoscaler/autoscaler.ts";
import { byRevision, podInformer, type ServingContext } from "./common/context.ts";
import { createConfigStore } from "./config/config-store.ts";
import { createConfigurationController } from "./configuration/configuration-controller.ts";
import { installCustomResources } from "./crds/install.ts";
import { servingRoles } from "./crds/roles.ts";
import type { ColdStartSink, DataPlane, StatSink } from "./data-plane.ts";
import { createDomainMappingController } from "./domainmapping/domainmapping-controller.ts";
import { createGcController } from "./gc/gc-controller.ts";
import { createCertificateReaders } from "./ingress/certificate-readers.ts";
import { createIngressController } from "./ingress/ingress-controller.ts";
import { createLabelerController } from "./labeler/labeler-controller.ts";
import { servingNamespace } from "./names.ts";
import { createPodAutoscalerController } from "./podautoscaler/podautoscaler-controller.ts";
import { ColdStartLog } from "./podautoscaler/cold-start-log.ts";
import type { ImageResolver } from "./revision/image-resolver.ts";
import { createRevisionController } from "./revision/revision-controller.ts";
import { createRouteController } from "./route/route-controller.ts";
import { createServiceController } from "./service/service-controller.ts";

/** What Serving works with. The informer factory runs already. */
export type ServingOptions = ControllerContext & {
  readonly dataPlane: DataPlane;
  /** Finds images' digests. Absent: images are run as they are named. */
  readonly images?: ImageResolver;
  /** The group of the data planes: they may read the certificates of routes. Absent: there are none that have to be let. */
  readonly certificateReaders?: string;
  readonly signal: AbortSignal;
};

/** Serving as it runs. */
export type Serving = Pick<Service, "stop"> & {
  /** Where statistics of requests and cold starts go. */
  readonly stats: StatSink & ColdStartSink;
  /** True when no controller has anything to do. */
  readonly isIdle: boolean;
};

/** Resolves when its kinds can be used. Starting it again, after a crash too, finds things as they are. */
export async function startServing(options: ServingOptions): Promise<Serving> {
  const { client, clock, informers, logger, signal } = options;
  await Promise.all([
    installCustomResources(client, { clock, signal }),
    ensureNamespace(client, { name: servingNamespace, labels: { "app.kubernetes.io/name": servingNamespace } }, signal),
    ensureClusterRoles(client, servingRoles(), signal),
  ]);
  const config = createConfigStore(informers, logger);
  const pods = podInformer({ informers });
  const readyPods = (key: string) => pods.lister.byIndex(byRevision, key).filter(isReady).length;
  const autoscaler = new Autoscaler({ clock, readyPods });
  const coldStarts = new ColdStartLog();
  const endConfig = config.start();
  await config.informer.waitForSync(signal);
  const webhooks = await startWebhookServer({
    part: "serving",
    reviewers: servingReviewers(() => config.current),
    clock,
    logger,
  });
  await ensureWebhookConfigurations(client, webhooks, { part: "serving", rules: servingRules, signal });
  const context = { ...options, config, autoscaler, coldStarts };
  const { certificateReaders: readers } = options;
  const controllers = [
    ...createServingControllers(context),
    ...(readers === undefined ? [] : [createCertificateReaders(context, readers)]),
  ];
  await Promise.all(controllers.map((controller) => controller.start(signal)));
  return {
    stats: {
      record: (stat) => autoscaler.record(stat),
      recordColdStart: (...start) => coldStarts.recordColdStart(...start),
    },
    get isIdle() {
      return controllers.every((controller) => controller.isIdle);
    },
    async stop() {
      autoscaler.stop();
      endConfig();
      await Promise.all(controllers.map((controller) => controller.stop()));
      await webhooks.stop();
    },
  };
}

/** All of Serving's controllers. */
export function createServingControllers(context: ServingContext): readonly NamedController[] {
  return [
    createServiceController(context),
    createConfigurationController(context),
    createRevisionController(context),
    createPodAutoscalerController(context),
    createRouteController(context),
    createLabelerController(context),
    createIngressController(context),
    createGcController(context),
    createDomainMappingController(context),
  ];
}

function isReady({ metadata, status }: Pod): boolean {
  if (metadata?.deletionTimestamp !== undefined) return false;
  return (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
}
