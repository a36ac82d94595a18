/**
 * clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy of a Service, brought into agreement. One IPv4 range, so dual-stack is refused where it is demanded.
 */
import { type FieldError, invalid } from "#apimachinery/field-error.ts";
import type { Draft } from "#api/strategy.ts";

/** True for types that have a cluster IP (or are headless). */
export function needsClusterIp(spec: Draft): boolean {
  return spec["type"] === "ClusterIP" || spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
}

export function isHeadless(spec: Draft): boolean {
  return spec["clusterIP"] === "None";
}

/** clusterIP and clusterIPs say the same; what an update leaves out stays as it was. As upstream's NormalizeClusterIPs and patchAllocatedValues. */
export function normalizeClusterIps(spec: Draft, before: Draft | undefined): void {
  const { clusterIP: ip = "", clusterIPs: ips = [] } = spec as { clusterIP?: string; clusterIPs?: string[] };
  if (before === undefined) {
    if (ip !== "" && ips.length === 0) spec["clusterIPs"] = [ip];
    else if (ip === "" && ips.length > 0) spec["clusterIP"] = ips[0];
    return;
  }
  const { clusterIP: oldIp = "", clusterIPs: oldIps = [] } = before as { clusterIP?: string; clusterIPs?: string[] };
  const isListSame = ips.length === oldIps.length && ips.every((value, index) => value === oldIps[index]);
  if (ip !== oldIp && ip !== "" && isListSame) spec["clusterIPs"] = [ip];
  if (ip === "" && oldIp !== "" && isListSame) delete spec["clusterIPs"];
  const bothNeed = needsClusterIp(before) && needsClusterIp(spec);
  if (bothNeed && !spec["clusterIP"] && ((spec["clusterIPs"] ?? []) as string[]).length === 0) {
    spec["clusterIP"] = oldIp;
    spec["clusterIPs"] = [...oldIps];
  }
}

/** Completes the families and their policy. */
export function ensureIpFields(spec: Draft, before: Draft | undefined): readonly FieldError[] {
  if (spec["type"] === "ExternalName") return [];
  const errors: FieldError[] = [];
  const isSelectorless = Object.keys((spec["selector"] ?? {}) as object).length === 0;
  const isFree = isHeadless(spec) && isSelectorless;
  spec["ipFamilyPolicy"] ??= before?.["ipFamilyPolicy"] ?? (isFree ? "RequireDualStack" : "SingleStack");
  const policy = spec["ipFamilyPolicy"] as string;
  const families = (spec["ipFamilies"] ??= ["IPv4"]) as string[];
  if (families.length === 0) families.push("IPv4");
  if (isFree) {
    if (families.length < 2 && policy !== "SingleStack") families.push(families[0] === "IPv4" ? "IPv6" : "IPv4");
    return errors;
  }
  if (policy === "RequireDualStack") {
    errors.push(invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"));
  }
  families.forEach((family, index) => {
    if (family !== "IPv4") {
      errors.push(invalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
    }
  });
  return [...errors, ...changeErrors(spec, before)];
}

function changeErrors(spec: Draft, before: Draft | undefined): readonly FieldError[] {
  const oldIp = before?.["clusterIP"] as string | undefined;
  if (before === undefined || !oldIp || !needsClusterIp(before) || !needsClusterIp(spec)) return [];
  if (spec["clusterIP"] === oldIp) return [];
  return [invalid("spec.clusterIPs[0]", spec["clusterIPs"], "may not change once set")];
}
