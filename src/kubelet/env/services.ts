/**
 * The variables that tell a container of the Services of its namespace: FOO_SERVICE_HOST, FOO_PORT_80_TCP_ADDR and so on. As pkg/kubelet/envvars.
 */
import type { Service } from "#api/generated/types/core-v1.ts";

/** What of a Service is needed for variables: all Services of a cluster are kept so on each node. */
export function variablesOnly({ kind, apiVersion, metadata, spec }: Service): Service {
  const { name, namespace, uid, resourceVersion } = metadata ?? {};
  const { clusterIP, ports = [] } = spec ?? {};
  const named = ports.map(({ name: portName, port, protocol }) => ({ name: portName, port, protocol }));
  const kept = { kind, apiVersion, metadata: { name, namespace, uid, resourceVersion } } as Service;
  return clusterIP === undefined || clusterIP === "None" || clusterIP === ""
    ? kept
    : ({ ...kept, spec: { clusterIP, ports: named } } as Service);
}

/** Variables for a pod of `namespace`. The API server's Service is always told, others only with `enableServiceLinks`. */
export function serviceVariables(
  services: readonly Service[],
  namespace: string,
  enableServiceLinks: boolean,
): Readonly<Record<string, string>> {
  const isMaster = (service: Service) =>
    service.metadata?.namespace === "default" && service.metadata.name === "kubernetes";
  const isOwn = (service: Service) => enableServiceLinks && service.metadata?.namespace === namespace;
  const told = services.filter((service) => hasIP(service) && (isMaster(service) || isOwn(service)));
  // A Service of the pod's own namespace named "kubernetes" hides the master's.
  const byName = new Map(told.sort((a, b) => Number(isOwn(a)) - Number(isOwn(b))).map((it) => [it.metadata?.name, it]));
  return Object.assign({}, ...[...byName.values()].map(variablesOf));
}

function hasIP(service: Service): boolean {
  const ip = service.spec?.clusterIP;
  return ip !== undefined && ip !== "" && ip !== "None" && (service.spec?.ports ?? []).length > 0;
}

function variablesOf(service: Service): Record<string, string> {
  const prefix = variableName(service.metadata?.name ?? "");
  const ip = service.spec?.clusterIP ?? "";
  const host = ip.includes(":") ? `[${ip}]` : ip;
  const ports = service.spec?.ports ?? [];
  const variables: Record<string, string> = {
    [`${prefix}_SERVICE_HOST`]: ip,
    [`${prefix}_SERVICE_PORT`]: String(ports[0]?.port ?? ""),
  };
  for (const [index, port] of ports.entries()) {
    const protocol = port.protocol || "TCP";
    const url = `${protocol.toLowerCase()}://${host}:${port.port}`;
    const name = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    if (port.name) variables[`${prefix}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
    if (index === 0) variables[`${prefix}_PORT`] = url;
    Object.assign(variables, {
      [name]: url,
      [`${name}_PROTO`]: protocol.toLowerCase(),
      [`${name}_PORT`]: String(port.port),
      [`${name}_ADDR`]: ip,
    });
  }
  return variables;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}
