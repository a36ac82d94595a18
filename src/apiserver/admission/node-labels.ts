/**
 * Which labels a node may set on itself: its own affairs, not what steers workloads of others. As kubelet/pkg/apis and noderestriction.
 */
const allowed = new Set([
  "kubernetes.io/hostname",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type",
  "beta.kubernetes.io/instance-type",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
]);
const allowedNamespaces = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const restricted = "node-restriction.kubernetes.io";

type Labels = Readonly<Record<string, string>>;

/** Labels that changed and that a node may not change, sorted. */
export function forbiddenLabels(after: Labels = {}, before: Labels = {}): readonly string[] {
  const keys = new Set([...Object.keys(after), ...Object.keys(before)]);
  return [...keys].filter((key) => after[key] !== before[key] && isForbidden(key)).sort();
}

function isForbidden(label: string): boolean {
  const slash = label.indexOf("/");
  const namespace = slash < 0 ? "" : label.slice(0, slash);
  if (isIn(namespace, restricted)) return true;
  const isOfKubernetes = isIn(namespace, "kubernetes.io") || isIn(namespace, "k8s.io");
  return isOfKubernetes && !allowed.has(label) && !allowedNamespaces.some((one) => isIn(namespace, one));
}

function isIn(namespace: string, domain: string): boolean {
  return namespace === domain || namespace.endsWith(`.${domain}`);
}
