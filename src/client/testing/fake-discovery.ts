/**
 * Discovery of the API in memory: a fixed table of the kinds that tests use.
 */

type Row = readonly [apiVersion: string, resource: string, kind: string, namespaced: boolean];

const rows: readonly Row[] = [
  ["v1", "configmaps", "ConfigMap", true],
  ["v1", "endpoints", "Endpoints", true],
  ["v1", "events", "Event", true],
  ["v1", "namespaces", "Namespace", false],
  ["v1", "nodes", "Node", false],
  ["v1", "persistentvolumeclaims", "PersistentVolumeClaim", true],
  ["v1", "pods", "Pod", true],
  ["v1", "replicationcontrollers", "ReplicationController", true],
  ["v1", "secrets", "Secret", true],
  ["v1", "serviceaccounts", "ServiceAccount", true],
  ["v1", "services", "Service", true],
  ["apps/v1", "controllerrevisions", "ControllerRevision", true],
  ["apps/v1", "daemonsets", "DaemonSet", true],
  ["apps/v1", "deployments", "Deployment", true],
  ["apps/v1", "replicasets", "ReplicaSet", true],
  ["apps/v1", "statefulsets", "StatefulSet", true],
  ["batch/v1", "cronjobs", "CronJob", true],
  ["batch/v1", "jobs", "Job", true],
  ["coordination.k8s.io/v1", "leases", "Lease", true],
  ["discovery.k8s.io/v1", "endpointslices", "EndpointSlice", true],
  ["example.com/v1", "things", "Thing", false],
];
const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** The answer to a discovery path, or undefined for other paths. */
export function serveDiscovery(path: string): unknown {
  if (path === "/api") return { kind: "APIVersions", versions: ["v1"] };
  if (path === "/apis") return groupList();
  const groupVersion = /^\/api\/(v1)$/.exec(path)?.[1] ?? /^\/apis\/([^/]+\/[^/]+)$/.exec(path)?.[1];
  if (groupVersion === undefined) return undefined;
  const resources = rows
    .filter(([apiVersion]) => apiVersion === groupVersion)
    .map(([, name, kind, namespaced]) => ({ name, singularName: kind.toLowerCase(), kind, namespaced, verbs }));
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources };
}

function groupList(): unknown {
  const groupVersions = [...new Set(rows.map(([apiVersion]) => apiVersion))].filter((one) => one.includes("/"));
  const groups = groupVersions.map((groupVersion) => {
    const [name, version] = groupVersion.split("/");
    return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
  });
  return { kind: "APIGroupList", apiVersion: "v1", groups };
}
