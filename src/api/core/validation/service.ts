/**
 * Services. As pkg/apis/core/validation's validateService.
 */
import { isIP, isIPv6 } from "node:net";
import {
  type FieldError,
  duplicate,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "#apimachinery/field-error.ts";
import { validateLabels } from "#apimachinery/label-selector.ts";
import type { Service, ServicePort, ServiceSpec } from "#api/generated/types/core-v1.ts";
import {
  dnsLabel,
  dnsSubdomain,
  type Errors,
  inRange,
  endpointIp,
  ipAddress,
  oneOf,
  portNumber,
  portNumberOrName,
  qualifiedName,
  requiredOneOf,
} from "#api/field-rules.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const families = ["IPv4", "IPv6"];
const maxAffinitySeconds = 86_400;

export function validateService({ spec }: Service): Errors {
  if (!spec) return [required("spec.ports")];
  const ports = spec.ports ?? [];
  const isHeadless = spec.clusterIPs?.[0] === "None";
  const errors: FieldError[] = [];
  if (ports.length === 0 && !isHeadless && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  if (isHeadless && (spec.type === "LoadBalancer" || spec.type === "NodePort")) {
    errors.push(invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  }
  const names = new Set<string>();
  return [
    ...errors,
    ...(spec.type === "ExternalName" ? validateExternalName(spec) : validateClusterIps(spec, isHeadless)),
    ...ports.flatMap((port, index) =>
      validatePort(`spec.ports[${index}]`, port, { needsName: ports.length > 1, names }),
    ),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...(spec.externalIPs ?? []).flatMap((address, index) => endpointIp(`spec.externalIPs[${index}]`, address)),
    ...requiredOneOf("spec.type", spec.type, types),
    ...validatePortsTogether(spec, ports),
    ...validateLoadBalancer(spec),
    ...validateTraffic(spec),
  ];
}

export function validateServiceUpdate(service: Service, old: Service): Errors {
  const errors: FieldError[] = [...validateService(service)];
  const [after, before] = [service.spec ?? {}, old.spec ?? {}];
  const stays = after.type !== "ExternalName" && before.type !== "ExternalName";
  const [address, oldAddress] = [after.clusterIPs?.[0], before.clusterIPs?.[0]];
  if (stays && oldAddress && address !== oldAddress) {
    errors.push(invalid("spec.clusterIPs[0]", after.clusterIPs ?? [], "may not change once set"));
  }
  if (stays && before.ipFamilies?.[0] && after.ipFamilies?.[0] !== before.ipFamilies[0]) {
    errors.push(invalid("spec.ipFamilies[0]", after.ipFamilies ?? [], "may not change once set"));
  }
  if (
    before.type === "LoadBalancer" &&
    after.type === "LoadBalancer" &&
    before.loadBalancerClass !== after.loadBalancerClass
  ) {
    errors.push(invalid("spec.loadBalancerClass", after.loadBalancerClass, "may not change once set"));
  }
  return errors;
}

/** What controllers say of the load balancer. */
export function validateServiceStatus({ status }: Service): Errors {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname, ipMode }, index) => {
    const path = `status.loadBalancer.ingress[${index}]`;
    const errors: FieldError[] = ip ? [...ipAddress(`${path}.ip`, ip)] : [];
    if (ipMode && !ip) errors.push(forbiddenField(`${path}.ipMode`, "may not be specified when `ip` is not set"));
    errors.push(...oneOf(`${path}.ipMode`, ipMode, ["Proxy", "VIP"]));
    if (hostname && isIP(hostname) !== 0)
      errors.push(invalid(`${path}.hostname`, hostname, "must be a DNS name, not an IP address"));
    return hostname ? [...errors, ...dnsSubdomain(`${path}.hostname`, hostname)] : errors;
  });
}

function validateExternalName(spec: ServiceSpec): Errors {
  const why = "may not be set for ExternalName services";
  const name = (spec.externalName ?? "").replace(/\.$/, "");
  return [
    ...(spec.clusterIPs?.length ? [forbiddenField("spec.clusterIPs", why)] : []),
    ...(spec.ipFamilies?.length ? [forbiddenField("spec.ipFamilies", why)] : []),
    ...(spec.ipFamilyPolicy ? [forbiddenField("spec.ipFamilyPolicy", why)] : []),
    ...(name ? dnsSubdomain("spec.externalName", name) : [required("spec.externalName")]),
  ];
}

function validateClusterIps(spec: ServiceSpec, isHeadless: boolean): Errors {
  const { clusterIP, clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec;
  const field = "spec.clusterIPs";
  const errors: FieldError[] = [];
  if (clusterIP && clusterIPs.length === 0) errors.push(required(field));
  else if (clusterIP && clusterIPs[0] !== clusterIP)
    errors.push(invalid(field, clusterIPs, "first value must match `clusterIP`"));
  else if (!clusterIP && clusterIPs.length > 0)
    errors.push(invalid(field, clusterIPs, "must be empty when `clusterIP` is not specified"));
  ipFamilies.forEach((family, index) => {
    errors.push(...oneOf(`spec.ipFamilies[${index}]`, family, families));
    if (ipFamilies.indexOf(family) < index) errors.push(duplicate(`spec.ipFamilies[${index}]`, family));
  });
  errors.push(...oneOf("spec.ipFamilyPolicy", ipFamilyPolicy, ["PreferDualStack", "RequireDualStack", "SingleStack"]));
  if (isHeadless) {
    if (clusterIPs.length > 1) errors.push(invalid(field, clusterIPs, "'None' must be the first and only value"));
    return errors;
  }
  errors.push(...clusterIPs.flatMap((address, index) => ipAddress(`${field}[${index}]`, address)));
  if (clusterIPs.length > 2) errors.push(invalid(field, clusterIPs, "may only hold up to 2 values"));
  const [first, second] = clusterIPs;
  if (second !== undefined && isIPv6(first as string) === isIPv6(second)) {
    errors.push(invalid(field, clusterIPs, "may specify no more than one IP for each IP family"));
  }
  return [
    ...errors,
    ...clusterIPs.flatMap((address, index) => {
      const family = ipFamilies[index];
      const isRight = family === undefined || isIPv6(address) === (family === "IPv6");
      return isRight
        ? []
        : [
            invalid(
              `${field}[${index}]`,
              address,
              `expected an ${family} value as indicated by \`ipFamilies[${index}]\``,
            ),
          ];
    }),
  ];
}

function validatePort(
  path: string,
  port: ServicePort,
  { needsName, names }: { readonly needsName: boolean; readonly names: Set<string> },
): Errors {
  const errors: FieldError[] = [];
  if (port.name) {
    errors.push(...dnsLabel(`${path}.name`, port.name));
    if (names.has(port.name)) errors.push(duplicate(`${path}.name`, port.name));
    names.add(port.name);
  } else if (needsName) {
    errors.push(required(`${path}.name`));
  }
  return [
    ...errors,
    ...portNumber(`${path}.port`, port.port),
    ...requiredOneOf(`${path}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]),
    ...portNumberOrName(`${path}.targetPort`, port.targetPort),
    ...(port.appProtocol ? qualifiedName(`${path}.appProtocol`, port.appProtocol) : []),
  ];
}

function validatePortsTogether({ type }: ServiceSpec, ports: readonly ServicePort[]): Errors {
  const [nodePorts, taken] = [new Set<string>(), new Set<string>()];
  return ports.flatMap(({ nodePort, port, protocol }, index) => {
    const path = `spec.ports[${index}]`;
    const errors: FieldError[] = [];
    if (nodePort && type === "ClusterIP")
      errors.push(forbiddenField(`${path}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    if (nodePort && nodePorts.has(`${protocol}/${nodePort}`)) errors.push(duplicate(`${path}.nodePort`, nodePort));
    if (nodePort) nodePorts.add(`${protocol}/${nodePort}`);
    if (taken.has(`${protocol}/${port}`)) errors.push(duplicate(path, internalPort(port, protocol)));
    taken.add(`${protocol}/${port}`);
    return errors;
  });
}

function validateAffinity({ sessionAffinity, sessionAffinityConfig }: ServiceSpec): Errors {
  const field = "spec.sessionAffinityConfig";
  const errors = requiredOneOf("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"]);
  if (sessionAffinity === "None") {
    return sessionAffinityConfig
      ? [...errors, forbiddenField(field, "must not be set when session affinity is None")]
      : errors;
  }
  if (sessionAffinity !== "ClientIP") return errors;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds === undefined)
    return [...errors, required(`${field}.clientIP.timeoutSeconds`, "when session affinity type is ClientIP")];
  const isRight = seconds > 0 && seconds <= maxAffinitySeconds;
  return isRight
    ? errors
    : [
        ...errors,
        invalid(
          `${field}.clientIP.timeoutSeconds`,
          seconds,
          `must be greater than 0 and less than ${maxAffinitySeconds}`,
        ),
      ];
}

/** As upstream prints its own form of a port in which nothing else is said. */
function internalPort(port: number, protocol: string | undefined): object {
  return { Name: "", Protocol: protocol, AppProtocol: null, Port: port, TargetPort: 0, NodePort: 0 };
}

function validateLoadBalancer(spec: ServiceSpec): Errors {
  const isBalanced = spec.type === "LoadBalancer";
  const why = "may only be used when `type` is 'LoadBalancer'";
  const errors: FieldError[] = [];
  if (spec.loadBalancerSourceRanges?.length && !isBalanced)
    errors.push(forbiddenField("spec.LoadBalancerSourceRanges", why));
  for (const [index, range] of (spec.loadBalancerSourceRanges ?? []).entries()) {
    const [address = "", bits = ""] = range.trim().split("/");
    const isRange = isIP(address) !== 0 && /^\d+$/.test(bits) && Number(bits) <= (isIPv6(address) ? 128 : 32);
    if (!isRange) {
      errors.push(
        invalid(
          `spec.LoadBalancerSourceRanges[${index}]`,
          range,
          "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
      );
    }
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && !isBalanced)
    errors.push(forbiddenField("spec.allocateLoadBalancerNodePorts", why));
  if (spec.loadBalancerClass !== undefined && !isBalanced) errors.push(forbiddenField("spec.loadBalancerClass", why));
  return spec.loadBalancerClass
    ? [...errors, ...qualifiedName("spec.loadBalancerClass", spec.loadBalancerClass)]
    : errors;
}

function validateTraffic(spec: ServiceSpec): Errors {
  const { type, externalTrafficPolicy, internalTrafficPolicy, healthCheckNodePort } = spec;
  const isExternal =
    type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && (spec.externalIPs?.length ?? 0) > 0);
  const errors: FieldError[] = [];
  if (isExternal)
    errors.push(...requiredOneOf("spec.externalTrafficPolicy", externalTrafficPolicy, ["Cluster", "Local"]));
  else if (externalTrafficPolicy) {
    errors.push(
      invalid(
        "spec.externalTrafficPolicy",
        externalTrafficPolicy,
        "may only be set for externally-accessible services",
      ),
    );
  }
  if (type !== "LoadBalancer" || externalTrafficPolicy !== "Local") {
    if (healthCheckNodePort) {
      errors.push(
        invalid(
          "spec.healthCheckNodePort",
          healthCheckNodePort,
          "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
      );
    }
  } else if (healthCheckNodePort) errors.push(...inRange("spec.healthCheckNodePort", healthCheckNodePort, [1, 65_535]));
  if (type !== "ExternalName" && internalTrafficPolicy === undefined && types.includes(type ?? ""))
    errors.push(required("spec.internalTrafficPolicy"));
  errors.push(...oneOf("spec.internalTrafficPolicy", internalTrafficPolicy, ["Cluster", "Local"]));
  const { trafficDistribution } = spec;
  const known = ["PreferClose", "PreferSameNode", "PreferSameZone"];
  if (trafficDistribution !== undefined && !known.includes(trafficDistribution))
    errors.push(notSupported("spec.trafficDistribution", trafficDistribution, known));
  return errors;
}
