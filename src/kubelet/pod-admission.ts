/**
 * Whether the node takes a pod that was bound to it: room, node affinity, host ports, taints, operating system. The scheduler has asked the same, but pods can be
 * bound by anybody. Reasons and messages as pkg/kubelet/lifecycle/predicate.go, v1.36.
 */
import type {
  Node,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  Taint,
  Toleration,
} from "#api/generated/types/core-v1.ts";
import { addAmounts, amountsOf, podRequests } from "#kubelet/resources/pod-resources.ts";
import type { Amounts } from "#kubelet/resources/pod-resources.ts";

/** Why a pod is refused: reason and message of its Failed status. */
export type Refusal = { readonly reason: string; readonly message: string };

/** Judges pods by the node as it is now. */
export interface PodAdmission {
  /** Whether a running pod may have other requests. Infeasible: never on this node; Deferred: when others leave. */
  judgeResize(pod: Pod, others: readonly Pod[]): Refusal | undefined;
  /** undefined: the pod may run beside `others`. Must not change anything. */
  judge(pod: Pod, others: readonly Pod[]): Refusal | undefined;
}

/** Takes every pod: for providers that look after their room themselves. */
export const admitAll: PodAdmission = { judge: () => undefined, judgeResize: () => undefined };

/** The kubelet's own checks against `node()`, which gives undefined until the node is registered. */
export function nodeAdmission(node: () => Node | undefined): PodAdmission {
  return {
    judge(pod, others) {
      const self = node();
      if (!self) return { reason: "InvalidNodeInfo", message: "Kubelet cannot get node info." };
      return (
        osRefusal(pod, self) ??
        sysctlRefusal(pod) ??
        resourceRefusal(pod, others, self) ??
        predicateRefusal(pod, others, self)
      );
    },
    judgeResize(pod, others) {
      const self = node();
      return self && resizeRefusal(pod, others, self);
    },
  };
}

function osRefusal(pod: Pod, node: Node): Refusal | undefined {
  const wanted = pod.spec?.nodeSelector?.["kubernetes.io/os"];
  if (wanted !== undefined && wanted !== node.metadata?.labels?.["kubernetes.io/os"]) {
    return {
      reason: "PodOSSelectorNodeLabelDoesNotMatch",
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  }
  if (pod.spec?.os !== undefined && pod.spec.os.name !== "linux") {
    return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
  }
  return undefined;
}

// Kernel settings that belong to a pod's own namespaces and harm nobody else. As pkg/kubelet/sysctl/safe_sysctls.go.
const safeSysctls = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
]);

function sysctlRefusal(pod: Pod): Refusal | undefined {
  const refused = (pod.spec?.securityContext?.sysctls ?? []).find(
    (it) => !safeSysctls.has(it.name.replaceAll("/", ".")),
  );
  if (!refused) return undefined;
  return { reason: "SysctlForbidden", message: `forbidden sysctl: ${JSON.stringify(refused.name)} not allowlisted` };
}

function resizeRefusal(pod: Pod, others: readonly Pod[], node: Node): Refusal | undefined {
  const allocatable = amountsOf(node.status?.allocatable);
  const requests = podRequests(pod);
  for (const name of ["cpu", "memory"]) {
    const [requested = 0, capacity] = [requests[name], allocatable[name]];
    if (capacity === undefined || requested <= capacity) continue;
    const facts = `requested: ${requested}, capacity: ${capacity}`;
    return { reason: "Infeasible", message: `Node didn't have enough capacity: ${name}, ${facts}` };
  }
  const full = resourceRefusal(pod, others, node);
  return full && { reason: "Deferred", message: full.message };
}

function resourceRefusal(pod: Pod, others: readonly Pod[], node: Node): Refusal | undefined {
  const allocatable = amountsOf(node.status?.allocatable);
  const room = allocatable["pods"];
  if (room !== undefined && others.length + 1 > room) return outOf("pods", 1, others.length, room);
  const requests = podRequests(pod);
  if (Object.values(requests).every((amount) => amount === 0)) return undefined;
  const used = others.map(podRequests).reduce(addAmounts, {} as Amounts);
  for (const [name, amount] of Object.entries(requests)) {
    const capacity = allocatable[name];
    // A resource that the node does not know is the cluster's, not the node's.
    if (amount === 0 || capacity === undefined) continue;
    if (amount > capacity - (used[name] ?? 0)) return outOf(name, amount, used[name] ?? 0, capacity);
  }
  return undefined;
}

function outOf(name: string, requested: number, used: number, capacity: number): Refusal {
  const facts = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${name}`, message: `Node didn't have enough resource: ${name}, ${facts}` };
}

function predicateRefusal(pod: Pod, others: readonly Pod[], node: Node): Refusal | undefined {
  if (!matchesAffinity(pod, node)) {
    return predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  }
  if (pod.spec?.nodeName !== undefined && pod.spec.nodeName !== node.metadata?.name) {
    return predicate("NodeName", "node(s) didn't match the requested node name");
  }
  if (others.some((other) => portsCollide(hostPorts(pod), hostPorts(other)))) {
    return predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  }
  const untolerated = (node.spec?.taints ?? []).some(
    (taint) => taint.effect === "NoExecute" && !(pod.spec?.tolerations ?? []).some((it) => tolerates(it, taint)),
  );
  if (untolerated) return predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return undefined;
}

function predicate(name: string, description: string): Refusal {
  return { reason: name, message: `Predicate ${name} failed: ${description}` };
}

function matchesAffinity(pod: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  const selector = Object.entries(pod.spec?.nodeSelector ?? {});
  if (selector.some(([key, value]) => labels[key] !== value)) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!required) return true;
  return required.nodeSelectorTerms.some((term) => matchesTerm(term, labels, node.metadata?.name ?? ""));
}

function matchesTerm(term: NodeSelectorTerm, labels: Readonly<Record<string, string>>, nodeName: string): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  return (
    expressions.every((requirement) => matchesRequirement(requirement, labels[requirement.key])) &&
    fields.every((requirement) => requirement.key === "metadata.name" && matchesRequirement(requirement, nodeName))
  );
}

function matchesRequirement({ operator, values = [] }: NodeSelectorRequirement, actual: string | undefined): boolean {
  if (operator === "Exists") return actual !== undefined;
  if (operator === "DoesNotExist") return actual === undefined;
  if (operator === "NotIn") return actual === undefined || !values.includes(actual);
  if (actual === undefined) return false;
  if (operator === "In") return values.includes(actual);
  const bound = Number(values[0]);
  if (!/^-?\d+$/.test(actual) || !Number.isInteger(bound)) return false;
  return operator === "Gt" ? Number(actual) > bound : operator === "Lt" && Number(actual) < bound;
}

type HostPort = { readonly ip: string; readonly protocol: string; readonly port: number };

function hostPorts(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  return [...(pod.spec?.containers ?? []), ...sidecars]
    .flatMap((container) => container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({ ip: port.hostIP || "0.0.0.0", protocol: port.protocol ?? "TCP", port: port.hostPort as number }));
}

function portsCollide(mine: readonly HostPort[], theirs: readonly HostPort[]): boolean {
  const everywhere = (ip: string) => ip === "0.0.0.0" || ip === "::";
  return mine.some((a) =>
    theirs.some(
      (b) => a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || everywhere(a.ip) || everywhere(b.ip)),
    ),
  );
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}
