/**
 * What the containers of a pod share, from its spec: names, namespaces, ports, kernel settings, and the cgroup above them.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { ContainerError } from "#kubelet/container-runtime.ts";
import type { SandboxSpec } from "#kubelet/container-runtime.ts";
import { isRestartableInit, refOf } from "#kubelet/pod-object.ts";
import { podCgroupResources } from "#kubelet/resources/linux-resources.ts";
import { qosClassOf } from "#kubelet/resources/qos.ts";

/** Longest host name that Linux takes. */
const maxHostnameLength = 63;

/** What the node adds. `runtimeHandler` is what the pod's RuntimeClass names, "" for the default. */
export type SandboxFacts = {
  readonly clusterDomain: string;
  /** Bounds the processes of the whole pod. */
  readonly pidsLimit: number | undefined;
  readonly runtimeHandler: string;
};

/** The sandbox of a pod. Throws {@link ContainerError} for what no runtime here can give. */
export function sandboxSpec(pod: Pod, { clusterDomain, pidsLimit, runtimeHandler }: SandboxFacts): SandboxSpec {
  const spec = pod.spec;
  if (spec?.hostUsers === false) {
    // Running it in the node's user namespace would give it more rights than was asked for.
    const runtime = runtimeHandler === "" ? "runtime" : `RuntimeClass handler ${JSON.stringify(runtimeHandler)}`;
    const message = `can't set \`spec.hostUsers: false\`, ${runtime} does not support user namespaces`;
    throw new ContainerError("CreatePodSandboxError", message);
  }
  const { hostname, domain } = podHostname(pod, clusterDomain);
  const isHostNetwork = spec?.hostNetwork ?? false;
  return {
    pod: refOf(pod),
    hostname: spec?.setHostnameAsFQDN && domain !== "" ? `${hostname}.${domain}` : hostname,
    ...(domain === "" ? {} : { domainname: domain }),
    hostNetwork: isHostNetwork,
    hostPID: spec?.hostPID ?? false,
    hostIPC: spec?.hostIPC ?? false,
    shareProcessNamespace: spec?.shareProcessNamespace ?? false,
    sysctls: Object.fromEntries((spec?.securityContext?.sysctls ?? []).map((it) => [dotted(it.name), it.value])),
    portMappings: isHostNetwork ? [] : portMappings(pod),
    resources: podCgroupResources(pod, pidsLimit),
    qosClass: qosClassOf(pod),
    serviceAccountName: spec?.serviceAccountName ?? "",
    runtimeClass: runtimeHandler,
  };
}

/** The pod's host name and, with a subdomain, the domain that it lies in. */
export function podHostname(pod: Pod, clusterDomain: string): { readonly hostname: string; readonly domain: string } {
  const { hostnameOverride, hostname, subdomain } = pod.spec ?? {};
  if (hostnameOverride) return { hostname: shorten(hostnameOverride), domain: "" };
  const namespace = pod.metadata?.namespace ?? "";
  return {
    hostname: shorten(hostname || (pod.metadata?.name ?? "")),
    domain: subdomain ? `${subdomain}.${namespace}.svc.${clusterDomain}` : "",
  };
}

function shorten(hostname: string): string {
  return hostname.length <= maxHostnameLength ? hostname : hostname.slice(0, maxHostnameLength).replace(/[-.]+$/, "");
}

function portMappings(pod: Pod): SandboxSpec["portMappings"] {
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? []).filter(isRestartableInit)];
  return containers
    .flatMap((container) => container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({
      containerPort: port.containerPort,
      hostPort: port.hostPort as number,
      hostIP: port.hostIP ?? "",
      protocol: port.protocol === "UDP" || port.protocol === "SCTP" ? port.protocol : "TCP",
    }));
}

// "net/ipv4/ip_forward" and "net.ipv4.ip_forward" are the same; a slash first means that dots are part of the names (interfaces with VLANs).
function dotted(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  return separator === "/" ? name.replace(/[./]/g, (char) => (char === "/" ? "." : "/")) : name;
}
