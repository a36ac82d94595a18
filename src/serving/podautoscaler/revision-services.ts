/**
 * The two Services in front of a revision's pods, named as upstream's ServerlessService names them: the private one selects the pods, so that there are EndpointSlices of them; the
 * public one leads to the data plane, which holds requests while there are none.
 */
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Service } from "#api/generated/types/core-v1.ts";
import { childName } from "#knative/names.ts";
import { ownedMeta } from "#knative/objects.ts";
import type { DataPlane } from "#serving/data-plane.ts";
import type { PodAutoscaler } from "#serving/kinds.ts";
import { labels, userPortName } from "#serving/names.ts";

/** Who writes the slices of Services without a selector. */
export const sliceManager = "serving.nodeless.dev";
const httpPort = 80;

/** Name of the Service that selects the revision's pods. */
export function privateServiceName(revision: string): string {
  return childName(revision, "-private");
}

/** The port of a revision's Services: named by its protocol. */
function portOf({ spec }: PodAutoscaler, targetPort: string | number): object {
  const isH2c = spec?.protocolType === "h2c";
  return {
    name: isH2c ? "http2" : "http",
    protocol: "TCP",
    port: httpPort,
    targetPort,
    ...(isH2c ? { appProtocol: "kubernetes.io/h2c" } : {}),
  };
}

function metaOf(autoscaler: PodAutoscaler, name: string, type: "Public" | "Private"): Service["metadata"] & object {
  const { labels: own, name: revision = "" } = autoscaler.metadata ?? {};
  return ownedMeta(autoscaler, {
    name,
    labels: { ...own, [labels.serverlessService]: revision, [labels.serviceType]: type },
  });
}

/** Selects the pods, at the port that takes requests. */
export function privateServiceOf(autoscaler: PodAutoscaler): Service {
  const { name = "", labels: own } = autoscaler.metadata ?? {};
  const selector = { [labels.revisionUid]: own?.[labels.revisionUid] ?? "" };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metaOf(autoscaler, privateServiceName(name), "Private"),
    spec: { selector, ports: [portOf(autoscaler, userPortName)] },
  } as Service;
}

/** Has no selector: its slice is written by us. */
export function publicServiceOf(autoscaler: PodAutoscaler, dataPlane: DataPlane): Service {
  const { name = "" } = autoscaler.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metaOf(autoscaler, name, "Public"),
    spec: { ports: [portOf(autoscaler, dataPlane.httpPort)] },
  } as Service;
}

/** The slice that leads a Service without selector to the data plane. */
export function dataPlaneSlice(service: Service, dataPlane: DataPlane): EndpointSlice {
  const { name = "", namespace = "" } = service.metadata ?? {};
  const owner = service.metadata?.ownerReferences;
  const [port] = service.spec?.ports ?? [];
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: childName(name, "-data-plane"),
      namespace,
      labels: {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": sliceManager,
      },
      ...(owner === undefined ? {} : { ownerReferences: owner }),
    },
    addressType: "IPv4",
    endpoints: dataPlane.addresses().map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: port?.name ?? "", port: dataPlane.httpPort, protocol: "TCP" }],
  };
}
