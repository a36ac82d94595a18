/**
 * Where pods/NAME/proxy, services/NAME/proxy and nodes/NAME/proxy lead: NAME is [scheme:]name[:port], the port a number or a name.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { type ConnectParts, endpointOfNode, getPod } from "./node-access.ts";

/** A server to pass requests on to. */
export type ProxyTarget = { readonly isHttps: boolean; readonly host: string; readonly port: number };

/** The parts of [scheme:]name[:port]. Throws BadRequest. */
export function parseProxyName(text: string): {
  readonly scheme: "http" | "https" | "";
  readonly name: string;
  readonly port: string;
} {
  const parts = text.split(":");
  const [scheme, name, port] = parts.length === 3 ? parts : ["", parts[0], parts[1] ?? ""];
  if (parts.length > 3 || name === undefined || name === "" || !["", "http", "https"].includes(scheme ?? ""))
    throw badRequest(`invalid proxy request ${JSON.stringify(text)}`);
  return { scheme: scheme as "http" | "https" | "", name, port: port ?? "" };
}

/** The target for a resource. Throws NotFound, BadRequest, ServiceUnavailable. */
export async function findProxyTarget(
  parts: ConnectParts,
  resource: string,
  namespace: string,
  text: string,
): Promise<ProxyTarget> {
  const { scheme, name, port } = parseProxyName(text);
  const isHttps = scheme === "https";
  if (resource === "nodes") {
    const endpoint = await endpointOfNode(parts, name);
    return { isHttps: true, ...endpoint, ...(port === "" ? {} : { port: Number(port) }) };
  }
  if (resource === "pods") return { isHttps, ...(await podTarget(parts, namespace, name, port)) };
  return { isHttps, ...(await findServiceTarget(parts.client(), namespace, name, port, parts.loopbackPods)) };
}

async function podTarget(
  parts: ConnectParts,
  namespace: string,
  name: string,
  port: string,
): Promise<{ readonly host: string; readonly port: number }> {
  const pod = await getPod(parts, namespace, name);
  const host = pod.status?.podIP;
  if (host === undefined || host === "") throw unavailable(`address not allowed: pod ${name} has no IP`);
  refuseOwnAddresses(host, parts.loopbackPods);
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  if (port === "") return { host, port: ports[0]?.containerPort ?? 80 };
  const named = ports.find((candidate) => candidate.name === port)?.containerPort;
  return { host, port: named ?? portNumber(port) };
}

/** An endpoint of a Service that is ready. Throws NotFound, ServiceUnavailable. */
export async function findServiceTarget(
  client: Client,
  namespace: string,
  name: string,
  port: string,
  loopbackPods?: string,
): Promise<{ readonly host: string; readonly port: number }> {
  const service = await client.get<Service>({
    resource: { group: "", version: "v1", resource: "services" },
    namespace,
    name,
  });
  const ports = service.spec?.ports ?? [];
  const wanted =
    port === "" && ports.length === 1
      ? ports[0]
      : ports.find((candidate) => candidate.name === port || String(candidate.port) === port);
  if (!wanted) throw unavailable(`no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`);
  const slices = await client.list<EndpointSlice>(
    { resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" }, namespace },
    { labelSelector: `kubernetes.io/service-name=${name}` },
  );
  const targets = slices.items.flatMap((slice) => {
    const target = (slice.ports ?? []).find((candidate) => (candidate.name ?? "") === (wanted.name ?? ""))?.port;
    const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false);
    return target === undefined
      ? []
      : ready.flatMap(({ addresses }) => addresses.map((host) => ({ host, port: target })));
  });
  const chosen = targets[Math.floor(Math.random() * targets.length)];
  if (!chosen) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  refuseOwnAddresses(chosen.host, loopbackPods);
  return chosen;
}

/** A pod or endpoint that names the machine's own loopback or metadata addresses would make this server a tunnel to them (CVE-2020-8555, CVE-2022-3294). */
function refuseOwnAddresses(host: string, loopbackPods: string | undefined): void {
  if (loopbackPods !== undefined && host.startsWith(loopbackPods)) return;
  if (/^(127\.|169\.254\.|0\.)/.test(host) || host === "::1") throw badRequest(`address not allowed: ${host}`);
}

function portNumber(port: string): number {
  const value = Number(port);
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw badRequest(`no port ${JSON.stringify(port)}`);
  return value;
}

function unavailable(message: string): StatusError {
  return new StatusError({ reason: "ServiceUnavailable", code: 503, message });
}
