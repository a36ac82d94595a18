/**
 * Requests and limits as the kernel's cgroup figures. Factors and bounds as in pkg/kubelet/cm/helpers_linux.go and kuberuntime_container_linux.go.
 */
import type { Container, Pod, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { LinuxResources } from "#kubelet/container-runtime.ts";
import { amountsOf, podLimits, podRequests } from "./pod-resources.ts";
import type { Amounts } from "./pod-resources.ts";
import { qosClassOf } from "./qos.ts";

const minShares = 2;
const maxShares = 262_144;
const sharesPerCpu = 1024;
const periodMicroseconds = 100_000;
const minQuotaMicroseconds = 1000;

/** Bounds of one container. Limits that the pod sets as a whole count where the container has none. */
export function containerResources(pod: Pod, container: Container): LinuxResources {
  return resourcesOf(withPodLimits(container.resources, pod.spec?.resources));
}

/** Bounds of the cgroup above a pod's containers: limits only where every container has one. */
export function podCgroupResources(pod: Pod, pidsLimit: number | undefined): LinuxResources {
  const requests = podRequests(pod);
  const limits = podLimits(pod);
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const own = pod.spec?.resources?.limits;
  const isBounded = (name: string) =>
    own?.[name] !== undefined || containers.every((it) => (amountsOf(it.resources?.limits)[name] ?? 0) > 0);
  const bounded: Amounts = Object.fromEntries(Object.entries(limits).filter(([name]) => isBounded(name)));
  const isBestEffort = qosClassOf(pod) === "BestEffort";
  return {
    ...(isBestEffort ? { cpuShares: minShares } : { ...limitsOf(bounded), cpuShares: sharesOf(requests["cpu"] ?? 0) }),
    ...(pidsLimit === undefined ? {} : { pidsLimit }),
  };
}

/** Weight for CPU time: 1024 a core, at least 2. */
export function sharesOf(millicores: number): number {
  return Math.min(Math.max(Math.floor((millicores * sharesPerCpu) / 1000), minShares), maxShares);
}

function resourcesOf(resources: ResourceRequirements | undefined): LinuxResources {
  const requests = amountsOf(resources?.requests);
  const limits = amountsOf(resources?.limits);
  // A limit without a request is the request too.
  const cpu = requests["cpu"] ?? limits["cpu"] ?? 0;
  const memory = requests["memory"] ?? 0;
  return {
    ...limitsOf(limits),
    cpuShares: sharesOf(cpu),
    ...(memory > 0 ? { memoryRequestBytes: memory } : {}),
  };
}

function limitsOf(limits: Amounts): LinuxResources {
  const huge = Object.entries(limits).filter(([name]) => name.startsWith("hugepages-"));
  const quota = Math.max(((limits["cpu"] ?? 0) * periodMicroseconds) / 1000, minQuotaMicroseconds);
  return {
    ...((limits["cpu"] ?? 0) > 0 ? { cpuQuotaMicroseconds: quota, cpuPeriodMicroseconds: periodMicroseconds } : {}),
    ...((limits["memory"] ?? 0) > 0 ? { memoryLimitBytes: limits["memory"] as number } : {}),
    ...(huge.length > 0
      ? { hugepageLimits: Object.fromEntries(huge.map(([name, bytes]) => [name.slice("hugepages-".length), bytes])) }
      : {}),
  };
}

function withPodLimits(
  own: ResourceRequirements | undefined,
  pod: ResourceRequirements | undefined,
): ResourceRequirements | undefined {
  if (pod?.limits === undefined) return own;
  const limits = { ...pod.limits, ...own?.limits };
  return { ...own, limits, requests: { ...own?.requests } };
}
