/**
 * The priority levels and flow schemas that every cluster has. Facts of apiserver's pkg/apis/flowcontrol/bootstrap/default.go, v1.36.
 */
import type {
  FlowSchema,
  LimitedPriorityLevelConfiguration,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  Subject,
} from "#api/generated/types/flowcontrol-v1.ts";

/** Upstream changes its own objects only while they say so. */
const annotations = { "apf.kubernetes.io/autoupdate-spec": "true" };

type Share = { readonly shares: number; readonly lendable: number; readonly queues?: number; readonly hand?: number };

const limited: Readonly<Record<string, Share>> = {
  "catch-all": { shares: 5, lendable: 0 },
  system: { shares: 30, lendable: 33, queues: 64, hand: 6 },
  "node-high": { shares: 40, lendable: 25, queues: 64, hand: 6 },
  "leader-election": { shares: 10, lendable: 0, queues: 16, hand: 4 },
  "workload-high": { shares: 40, lendable: 50, queues: 128, hand: 6 },
  "workload-low": { shares: 100, lendable: 90, queues: 128, hand: 6 },
  "global-default": { shares: 20, lendable: 50, queues: 128, hand: 6 },
};

export const defaultPriorityLevels: readonly PriorityLevelConfiguration[] = [
  {
    metadata: { name: "exempt", annotations },
    spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  },
  ...Object.entries(limited).map(([name, share]) => ({
    metadata: { name, annotations },
    spec: { type: "Limited" as const, limited: limitedOf(share) },
  })),
];

function limitedOf({ shares, lendable, queues, hand }: Share): LimitedPriorityLevelConfiguration {
  const limitResponse =
    queues === undefined || hand === undefined
      ? { type: "Reject" as const }
      : { type: "Queue" as const, queuing: { queues, handSize: hand, queueLengthLimit: 50 } };
  return { nominalConcurrencyShares: shares, lendablePercent: lendable, limitResponse };
}

const anyResource = { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true };
const anything = { resourceRules: [anyResource], nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }] };
const leases = { apiGroups: ["coordination.k8s.io"], resources: ["leases"], namespaces: ["*"] };
const nodes = { ...anyResource, apiGroups: [""], resources: ["nodes", "nodes/status"] };
const probes = { verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] };
const everybody = groups("system:unauthenticated", "system:authenticated");
const kubeSystem: Subject = { kind: "ServiceAccount", serviceAccount: { name: "*", namespace: "kube-system" } };

export const defaultFlowSchemas: readonly FlowSchema[] = [
  schema("exempt", "exempt", 1, undefined, { subjects: groups("system:masters"), ...anything }),
  schema("probes", "exempt", 2, undefined, { subjects: everybody, nonResourceRules: [probes] }),
  schema("system-leader-election", "leader-election", 100, "ByUser", {
    subjects: [...users("system:kube-controller-manager", "system:kube-scheduler"), kubeSystem],
    resourceRules: [{ verbs: ["get", "create", "update"], ...leases }],
  }),
  schema("system-node-high", "node-high", 400, "ByUser", {
    subjects: groups("system:nodes"),
    resourceRules: [nodes, { verbs: ["*"], ...leases }],
  }),
  schema("system-nodes", "system", 500, "ByUser", { subjects: groups("system:nodes"), ...anything }),
  schema("kube-controller-manager", "workload-high", 800, "ByNamespace", {
    subjects: users("system:kube-controller-manager"),
    ...anything,
  }),
  schema("kube-scheduler", "workload-high", 800, "ByNamespace", {
    subjects: users("system:kube-scheduler"),
    ...anything,
  }),
  schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", { subjects: [kubeSystem], ...anything }),
  schema("service-accounts", "workload-low", 9000, "ByUser", {
    subjects: groups("system:serviceaccounts"),
    ...anything,
  }),
  schema("global-default", "global-default", 9900, "ByUser", { subjects: everybody, ...anything }),
  schema("catch-all", "catch-all", 10_000, "ByUser", { subjects: everybody, ...anything }),
];

function schema(
  name: string,
  level: string,
  precedence: number,
  distinguisher: "ByUser" | "ByNamespace" | undefined,
  rule: PolicyRulesWithSubjects,
): FlowSchema {
  return {
    metadata: { name, annotations },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence: precedence,
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules: [rule],
    },
  };
}

function groups(...names: readonly string[]): readonly Subject[] {
  return names.map((name) => ({ kind: "Group", group: { name } }));
}

function users(...names: readonly string[]): readonly Subject[] {
  return names.map((name) => ({ kind: "User", user: { name } }));
}
