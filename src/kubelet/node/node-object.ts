/**
 * The Node object as the kubelet writes it: labels, capacity, addresses, conditions. Names, reasons and messages as pkg/kubelet/nodestatus and kubelet_node_status.go.
 */
import type { Node, NodeCondition, NodeStatus, Taint } from "#api/generated/types/core-v1.ts";
import { formatTime, sameJson } from "#kubelet/pod-object.ts";
import type { MachineInfo } from "./node-info.ts";
import { kubernetesArchitecture } from "./node-info.ts";

/** What the operator decided about the node. */
export type NodeSettings = {
  readonly nodeName: string;
  readonly addresses: readonly string[];
  readonly podCidr: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly maxPods: number;
  /** Taken from capacity before pods may have it: { cpu: "100m", memory: "100Mi" }. */
  readonly reserved: Readonly<Record<string, number>>;
  /** Where API server and others reach the kubelet's own API. */
  readonly kubeletPort: number;
  readonly providerID: string | undefined;
};

/** There is less than there should be. */
export type Shortage = {
  readonly resource: "memory" | "ephemeral-storage";
  /** What was measured, in upstream's words: "nodefs.inodes" counts inodes and not bytes. */
  readonly signal: "memory.available" | "nodefs.available" | "nodefs.inodesFree";
  readonly threshold: number;
  readonly available: number;
};

/** How the node feels just now. Reasons stand in {@link nodeConditions}. */
export type NodeHealth = {
  readonly memoryPressure: boolean;
  readonly diskPressure: boolean;
  readonly pidPressure: boolean;
  /** What there is too little of at this moment; a condition lasts longer than that. */
  readonly shortages?: readonly Shortage[];
  /** Why pods cannot run just now; empty when they can. */
  readonly notReady: readonly string[];
};

/** Versions that nodeInfo names. */
export type NodeVersions = {
  readonly kubeletVersion: string;
  readonly containerRuntimeVersion: string;
};

/** The Node to be created when there is none. Its status is written apart. */
export function newNode(settings: NodeSettings): Node {
  const { podCidr, taints, providerID } = settings;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: settings.nodeName,
      labels: nodeLabels(settings),
      annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true", ...settings.annotations },
    },
    spec: {
      ...(podCidr === undefined ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] }),
      ...(taints.length === 0 ? {} : { taints }),
      ...(providerID === undefined ? {} : { providerID }),
    },
  };
}

/** Labels that the kubelet keeps on its Node. */
export function nodeLabels(settings: NodeSettings): Readonly<Record<string, string>> {
  const architecture = kubernetesArchitecture();
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": settings.nodeName,
    "kubernetes.io/os": "linux",
    ...settings.labels,
  };
}

/** All of the status that the kubelet owns. `before` is the Node's status: transition times are kept where nothing changed. */
export function nodeStatus(
  settings: NodeSettings,
  machine: MachineInfo,
  versions: NodeVersions,
  health: NodeHealth,
  before: NodeStatus | undefined,
  nowMs: number,
): NodeStatus {
  const capacity = capacityOf(settings, machine);
  return {
    capacity: formatAmounts(capacity),
    allocatable: formatAmounts(
      Object.fromEntries(
        Object.entries(capacity).map(([name, amount]) => [name, Math.max(0, amount - (settings.reserved[name] ?? 0))]),
      ),
    ),
    addresses: [
      ...settings.addresses.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: settings.nodeName },
    ],
    conditions: nodeConditions(health, before?.conditions ?? [], nowMs),
    daemonEndpoints: { kubeletEndpoint: { Port: settings.kubeletPort } },
    nodeInfo: { ...machine.system, ...versions, kubeProxyVersion: "" },
    features: { supplementalGroupsPolicy: true },
    runtimeHandlers: [{ name: "", features: { recursiveReadOnlyMounts: false, userNamespaces: false } }],
  };
}

/** True when something other than heartbeat times differs. */
export function nodeStatusDiffers(before: NodeStatus, after: NodeStatus): boolean {
  const still = (status: NodeStatus) => ({
    ...status,
    conditions: [...(status.conditions ?? [])]
      .map((condition) => ({ ...condition, lastHeartbeatTime: undefined }))
      .sort((a, b) => (a.type < b.type ? -1 : 1)),
    images: undefined,
  });
  const known = Object.fromEntries(Object.entries(still(before)).filter(([key]) => key in after));
  return !sameJson(known, still(after)) || !sameJson(before.images, after.images ?? before.images);
}

function nodeConditions(health: NodeHealth, before: readonly NodeCondition[], nowMs: number): NodeCondition[] {
  const own = [
    pressure("MemoryPressure", health.memoryPressure, {
      yes: ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
      no: ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    }),
    pressure("DiskPressure", health.diskPressure, {
      yes: ["KubeletHasDiskPressure", "kubelet has disk pressure"],
      no: ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    }),
    pressure("PIDPressure", health.pidPressure, {
      yes: ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
      no: ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    }),
    health.notReady.length === 0
      ? { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" }
      : { type: "Ready", status: "False", reason: "KubeletNotReady", message: health.notReady.join(", ") },
  ];
  const now = formatTime(nowMs);
  const others = before.filter((condition) => !own.some((it) => it.type === condition.type));
  return [...others, ...own.map((condition) => withTimes(condition, before, now))];
}

function withTimes(condition: NodeCondition, before: readonly NodeCondition[], now: string): NodeCondition {
  const old = before.find((it) => it.type === condition.type);
  const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? now) : now;
  return { ...condition, lastHeartbeatTime: now, lastTransitionTime };
}

function pressure(
  type: string,
  isUnder: boolean,
  words: { readonly yes: readonly [string, string]; readonly no: readonly [string, string] },
): NodeCondition {
  const [reason, message] = isUnder ? words.yes : words.no;
  return { type, status: isUnder ? "True" : "False", reason, message };
}

function capacityOf(settings: NodeSettings, machine: MachineInfo): Readonly<Record<string, number>> {
  return {
    cpu: machine.cpus * 1000,
    memory: machine.memoryBytes,
    "ephemeral-storage": machine.storageBytes,
    "hugepages-1Gi": 0,
    "hugepages-2Mi": 0,
    pods: settings.maxPods,
  };
}

function formatAmounts(amounts: Readonly<Record<string, number>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, formatAmount(name, amount)]));
}

function formatAmount(name: string, amount: number): string {
  if (name === "cpu") return amount % 1000 === 0 ? String(amount / 1000) : `${amount}m`;
  if (name === "pods" || amount === 0) return String(amount);
  return `${Math.floor(amount / 1024)}Ki`;
}
