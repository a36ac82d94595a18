/**
 * Whether anybody takes events: the endpoints of the Service in front of the dispatcher, which the dispatcher writes when it listens.
 */
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import { eventingNamespace, ingressService } from "#eventing/names.ts";
import type { Conditioned } from "#knative/duck.ts";
import type { KindController } from "#knative/kind-controller.ts";
import { endpointSlices } from "#knative/kube-services.ts";

/** Tells of the ingress. */
export type Ingress = { readonly isReady: boolean };

/** Has all objects of the controller looked at when the ingress comes or goes. */
export function watchIngress<T extends Conditioned>(controller: KindController<T>): Ingress {
  const slices: Informer<EndpointSlice> = controller.watch<EndpointSlice>(endpointSlices, (slice) => {
    if (isOfIngress(slice)) controller.enqueueAll();
    return [];
  });
  return {
    get isReady() {
      return slices.lister
        .list(eventingNamespace)
        .some(
          (slice) =>
            isOfIngress(slice) && (slice.endpoints ?? []).some(({ conditions }) => conditions?.ready !== false),
        );
    },
  };
}

function isOfIngress({ metadata }: KubeObject): boolean {
  return (
    metadata?.namespace === eventingNamespace && metadata.labels?.["kubernetes.io/service-name"] === ingressService
  );
}
