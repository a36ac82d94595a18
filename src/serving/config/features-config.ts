/**
 * ConfigMap `config-features`: which optional fields of a pod's specification a revision may use. Keys as upstream's `pkg/apis/config/features.go` (v1.23).
 */
import type { ConfigData } from "#knative/config-text.ts";

/** "Allowed" lets a field through without acting on it by itself; for our purposes only "Disabled" differs. */
export type Flag = "Enabled" | "Allowed" | "Disabled" | "AllowRootBounded";

/** A feature's key in the ConfigMap. */
export type Feature =
  | "multi-container"
  | "multi-container-probing"
  | "autodetect-http2"
  | "domainmapping-direct-route-traffic"
  | "tag-header-based-routing"
  | "secure-pod-defaults"
  | "queueproxy.mount-podinfo"
  | "queueproxy.resource-defaults"
  | "kubernetes.containerspec-addcapabilities"
  | "kubernetes.podspec-affinity"
  | "kubernetes.podspec-dnsconfig"
  | "kubernetes.podspec-dnspolicy"
  | "kubernetes.podspec-fieldref"
  | "kubernetes.podspec-hostaliases"
  | "kubernetes.podspec-hostipc"
  | "kubernetes.podspec-hostnetwork"
  | "kubernetes.podspec-hostpid"
  | "kubernetes.podspec-init-containers"
  | "kubernetes.podspec-nodeselector"
  | "kubernetes.podspec-persistent-volume-claim"
  | "kubernetes.podspec-persistent-volume-write"
  | "kubernetes.podspec-priorityclassname"
  | "kubernetes.podspec-runtimeclassname"
  | "kubernetes.podspec-schedulername"
  | "kubernetes.podspec-securitycontext"
  | "kubernetes.podspec-shareprocessnamespace"
  | "kubernetes.podspec-tolerations"
  | "kubernetes.podspec-topologyspreadconstraints"
  | "kubernetes.podspec-volumes-csi"
  | "kubernetes.podspec-volumes-emptydir"
  | "kubernetes.podspec-volumes-ephemeral"
  | "kubernetes.podspec-volumes-hostpath"
  | "kubernetes.podspec-volumes-image"
  | "kubernetes.podspec-volumes-mount-propagation";

/** All flags. */
export type FeaturesConfig = Readonly<Record<Feature, Flag>>;

/** What holds without a ConfigMap. */
export const defaultFeaturesConfig: FeaturesConfig = {
  "multi-container": "Enabled",
  "multi-container-probing": "Disabled",
  "autodetect-http2": "Disabled",
  "domainmapping-direct-route-traffic": "Disabled",
  "tag-header-based-routing": "Disabled",
  "secure-pod-defaults": "Disabled",
  "queueproxy.mount-podinfo": "Disabled",
  "queueproxy.resource-defaults": "Disabled",
  "kubernetes.containerspec-addcapabilities": "Disabled",
  "kubernetes.podspec-affinity": "Disabled",
  "kubernetes.podspec-dnsconfig": "Disabled",
  "kubernetes.podspec-dnspolicy": "Disabled",
  "kubernetes.podspec-fieldref": "Disabled",
  "kubernetes.podspec-hostaliases": "Disabled",
  "kubernetes.podspec-hostipc": "Disabled",
  "kubernetes.podspec-hostnetwork": "Disabled",
  "kubernetes.podspec-hostpid": "Disabled",
  "kubernetes.podspec-init-containers": "Disabled",
  "kubernetes.podspec-nodeselector": "Disabled",
  "kubernetes.podspec-persistent-volume-claim": "Disabled",
  "kubernetes.podspec-persistent-volume-write": "Disabled",
  "kubernetes.podspec-priorityclassname": "Disabled",
  // Unlike upstream: a RuntimeClass is how code comes to an isolate here.
  "kubernetes.podspec-runtimeclassname": "Enabled",
  "kubernetes.podspec-schedulername": "Disabled",
  "kubernetes.podspec-securitycontext": "Disabled",
  "kubernetes.podspec-shareprocessnamespace": "Disabled",
  "kubernetes.podspec-tolerations": "Disabled",
  "kubernetes.podspec-topologyspreadconstraints": "Disabled",
  "kubernetes.podspec-volumes-csi": "Disabled",
  "kubernetes.podspec-volumes-emptydir": "Enabled",
  "kubernetes.podspec-volumes-ephemeral": "Disabled",
  "kubernetes.podspec-volumes-hostpath": "Disabled",
  "kubernetes.podspec-volumes-image": "Disabled",
  "kubernetes.podspec-volumes-mount-propagation": "Disabled",
};

const flags: readonly Flag[] = ["Enabled", "Allowed", "Disabled"];
const securePodFlags: readonly Flag[] = ["Disabled", "AllowRootBounded", "Enabled"];

/** Reads the ConfigMap. What is no flag leaves the default, as upstream. */
export function parseFeaturesConfig(data: ConfigData | undefined): FeaturesConfig {
  const read = (key: Feature): Flag => {
    const given = data?.[key]?.toLowerCase();
    const allowed = key === "secure-pod-defaults" ? securePodFlags : flags;
    return allowed.find((flag) => flag.toLowerCase() === given) ?? defaultFeaturesConfig[key];
  };
  return Object.fromEntries(
    Object.keys(defaultFeaturesConfig).map((key) => [key, read(key as Feature)]),
  ) as FeaturesConfig;
}
