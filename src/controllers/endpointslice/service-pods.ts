/**
 * Which pods stand behind a Service, under which ports: what EndpointSlices and Endpoints are both made of. Pure functions.
 */
import type { Pod, Service, ServicePort } from "#api/generated/types/core-v1.ts";
import { matchesLabels } from "#apimachinery/label-selector.ts";
import { isPodFinished, isPodReady, isPodTerminating } from "#controllers/common/pods.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";

/** A port of the Service as the pod serves it. */
export type ResolvedPort = {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string;
};

export const headlessLabel = "service.kubernetes.io/headless";

/** True when the controllers make endpoints for the Service: it selects pods and is no alias. */
export function hasEndpoints(service: Service): boolean {
  return (
    service.spec?.type !== "ExternalName" &&
    service.spec?.selector !== undefined &&
    Object.keys(service.spec.selector).length > 0
  );
}

/** True for Services without an address of their own. */
export function isHeadless(service: Service): boolean {
  const clusterIp = service.spec?.clusterIP;
  return clusterIp === undefined || clusterIp === "" || clusterIp === "None";
}

/** True when the Service's selector matches the labels. */
export function selects(service: Service, labels: Readonly<Record<string, string>> | undefined): boolean {
  return hasEndpoints(service) && matchesLabels(service.spec?.selector, labels);
}

/** The pod's addresses. */
export function addressesOf(pod: Pod): readonly string[] {
  const all = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  return all.length === 0 && pod.status?.podIP ? [pod.status.podIP] : all;
}

/** Whether the pod is listed at all. Finished ones and those without an address are not. */
export function isListed(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodFinished(pod) || addressesOf(pod).length === 0) return false;
  return includeTerminating || !isPodTerminating(pod);
}

/** The pod's own name in the Service's domain, where it asks for one. */
export function hostnameIn(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec ?? {};
  return hostname && subdomain === service.metadata?.name ? hostname : undefined;
}

/** The Service's ports on this pod; ports that the pod does not have by that name are left out. */
export function portsOn(pod: Pod, service: Service): readonly ResolvedPort[] {
  const resolved: ResolvedPort[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = findPort(pod, port);
    if (number === undefined) continue;
    const appProtocol = port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol };
    resolved.push({ name: port.name ?? "", port: number, protocol: port.protocol ?? "TCP", ...appProtocol });
  }
  return resolved;
}

function findPort(pod: Pod, servicePort: ServicePort): number | undefined {
  const target = servicePort.targetPort ?? servicePort.port;
  if (typeof target === "number") return target === 0 ? servicePort.port : target;
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  const ports = [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container) => container.ports ?? []);
  const protocol = servicePort.protocol ?? "TCP";
  return ports.find((port) => port.name === target && (port.protocol ?? "TCP") === protocol)?.containerPort;
}

/** Whether a change of the pod can matter to Services that select it. */
export function endpointChanged(before: Pod, after: Pod): boolean {
  return (
    isPodReady(before) !== isPodReady(after) ||
    isPodFinished(before) !== isPodFinished(after) ||
    isPodTerminating(before) !== isPodTerminating(after) ||
    !semanticEqual(addressesOf(before), addressesOf(after)) ||
    !semanticEqual(before.metadata?.labels, after.metadata?.labels) ||
    before.spec?.hostname !== after.spec?.hostname ||
    before.spec?.subdomain !== after.spec?.subdomain
  );
}
