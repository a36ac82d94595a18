/**
 * What Serving's controllers get beyond what any controller gets.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { ControllerContext } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { Autoscaler } from "#serving/autoscaler/autoscaler.ts";
import type { ConfigStore } from "#serving/config/config-store.ts";
import type { DataPlane } from "#serving/data-plane.ts";
import { type Revision, type Route, revisions, routes } from "#serving/kinds.ts";
import { labels } from "#serving/names.ts";
import type { ColdStartLog } from "#serving/podautoscaler/cold-start-log.ts";
import type { ImageResolver } from "#serving/revision/image-resolver.ts";

/** A controller's context, with Serving's configuration and its neighbours. */
export type ServingContext = ControllerContext & {
  readonly config: ConfigStore;
  readonly autoscaler: Autoscaler;
  readonly coldStarts: ColdStartLog;
  readonly dataPlane: DataPlane;
  /** Finds images' digests. Absent: images are run as they are named. */
  readonly images?: ImageResolver;
};

export const deployments: GroupVersionResource = { group: "apps", version: "v1", resource: "deployments" };
export const pods: GroupVersionResource = { group: "", version: "v1", resource: "pods" };

/** Index of revisions by "namespace/configuration". */
export const byConfiguration = "serving-configuration";
/** Index of pods, by "namespace/revision". */
export const byRevision = "serving-revision";

/** All revisions, by their Configuration. */
export function revisionInformer({ informers }: Pick<ControllerContext, "informers">): Informer<Revision> {
  return informers.informer<Revision>({
    resource: revisions,
    indexes: {
      [byConfiguration]: ({ metadata }) => {
        const name = metadata?.labels?.[labels.configuration];
        return name === undefined ? [] : [`${metadata?.namespace}/${name}`];
      },
    },
  });
}

/** Index of Routes by what their traffic goes to, or did: "namespace/name" of Configurations and Revisions. */
export const byTarget = "serving-target";

/** All Routes, by their targets. */
export function routeInformer({ informers }: Pick<ControllerContext, "informers">): Informer<Route> {
  return informers.informer<Route>({
    resource: routes,
    indexes: {
      [byTarget]: ({ metadata, spec, status }) => {
        const targets = [...(spec?.traffic ?? []), ...(status?.traffic ?? [])];
        const names = targets.flatMap(({ configurationName, revisionName }) => [configurationName, revisionName]);
        const given = names.filter((name) => name !== undefined && name !== "");
        return [...new Set(given)].map((name) => `${metadata?.namespace}/${name}`);
      },
    },
  });
}

/** The Routes of a namespace that send traffic to one of these, or did; each once. */
export function routesTo({ lister }: Informer<Route>, namespace: string, names: readonly string[]): ReadonlySet<Route> {
  return new Set(names.flatMap((name) => lister.byIndex(byTarget, `${namespace}/${name}`)));
}

/** The pods of revisions, by revision: the same local copy as that of the cluster's other controllers. */
export function podInformer({ informers }: Pick<ControllerContext, "informers">): Informer<Pod> {
  return informers.informer<Pod>({
    resource: pods,
    indexes: {
      [byRevision]: ({ metadata }) => {
        const name = metadata?.labels?.[labels.revision];
        return name === undefined ? [] : [`${metadata?.namespace}/${name}`];
      },
    },
  });
}

/** All Deployments. */
export function deploymentInformer({ informers }: Pick<ControllerContext, "informers">): Informer<Deployment> {
  return informers.informer<Deployment>({ resource: deployments });
}
