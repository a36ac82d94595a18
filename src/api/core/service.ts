/**
 * Services: defaults, validation, what goes when the type changes. As pkg/registry/core/service/strategy.go; cluster IPs and node ports are given out by the API server's allocators.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import { ensureObject, itemsOf, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateService, validateServiceStatus, validateServiceUpdate } from "./validation/service.ts";

export const serviceStrategy: KindStrategy<Service> = {
  nameRule: "dns-label",
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    applyAffinityDefaults(spec);
    setTextDefault(spec, "type", "ClusterIP");
    for (const port of itemsOf(spec["ports"])) {
      setTextDefault(port, "protocol", "TCP");
      if (!port["targetPort"]) port["targetPort"] = port["port"];
    }
    applyTrafficDefaults(spec);
    if (spec["type"] !== "LoadBalancer") return;
    setDefault(spec, "allocateLoadBalancerNodePorts", true);
    for (const ingress of itemsOf(draft["status"]?.loadBalancer?.ingress))
      if (ingress["ip"]) setDefault(ingress, "ipMode", "VIP");
  },
  prepareForCreate(draft) {
    draft["status"] = { loadBalancer: {} };
  },
  prepareForUpdate(draft, old) {
    dropTypeDependentFields(draft["spec"] as Draft, old);
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  validateStatusUpdate: validateServiceStatus,
  selectableFields: ({ spec }) => ({ "spec.clusterIP": spec?.clusterIP ?? "", "spec.type": spec?.type ?? "" }),
  hasNoGeneration: true,
};

function applyAffinityDefaults(spec: Draft): void {
  setTextDefault(spec, "sessionAffinity", "None");
  if (spec["sessionAffinity"] === "None") delete spec["sessionAffinityConfig"];
  if (spec["sessionAffinity"] !== "ClientIP") return;
  if (!spec["sessionAffinityConfig"]?.clientIP?.timeoutSeconds)
    spec["sessionAffinityConfig"] = { clientIP: { timeoutSeconds: 10_800 } };
}

function applyTrafficDefaults(spec: Draft): void {
  const type: unknown = spec["type"];
  const isExternal =
    type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && (spec["externalIPs"]?.length ?? 0) > 0);
  if (isExternal) setTextDefault(spec, "externalTrafficPolicy", "Cluster");
  if (type === "NodePort" || type === "LoadBalancer" || type === "ClusterIP")
    setDefault(spec, "internalTrafficPolicy", "Cluster");
}

/** What the old type needed and the new one does not goes, unless the client changed it too: then validation shall speak. */
function dropTypeDependentFields(spec: Draft, { spec: before = {} }: Service): void {
  const needsClusterIp = (type: unknown) => type === "ClusterIP" || type === "NodePort" || type === "LoadBalancer";
  const needsNodePort = (type: unknown) => type === "NodePort" || type === "LoadBalancer";
  const isSame = (key: keyof typeof before) => JSON.stringify(spec[key]) === JSON.stringify(before[key]);
  if (needsClusterIp(before.type) && !needsClusterIp(spec["type"]) && isSame("clusterIP") && isSame("clusterIPs")) {
    for (const key of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]) delete spec[key];
  }
  if (needsNodePort(before.type) && !needsNodePort(spec["type"])) {
    const old = new Map(
      before.ports?.map((port) => [`${port.protocol}/${port.port}/${port.name ?? ""}`, port.nodePort]),
    );
    for (const port of itemsOf(spec["ports"])) {
      if (port["nodePort"] === old.get(`${port["protocol"]}/${port["port"]}/${port["name"] ?? ""}`))
        delete port["nodePort"];
    }
  }
  if (before.type === "LoadBalancer" && spec["type"] !== "LoadBalancer") {
    if (isSame("allocateLoadBalancerNodePorts")) delete spec["allocateLoadBalancerNodePorts"];
    if (isSame("loadBalancerClass")) delete spec["loadBalancerClass"];
    if (isSame("healthCheckNodePort")) delete spec["healthCheckNodePort"];
  }
  if (
    before.externalTrafficPolicy &&
    !needsNodePort(spec["type"]) &&
    isSame("externalTrafficPolicy") &&
    !spec["externalIPs"]?.length
  ) {
    delete spec["externalTrafficPolicy"];
  }
}
