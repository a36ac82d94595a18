/**
 * Where nodes take requests, as they say it in an annotation of their Node. It is how whoever writes statuses of Ingresses learns it.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import type { IngressLoadBalancerIngress } from "#api/generated/types/networking-v1.ts";

/** Name of the annotation; its value is a list of {@link NodeListener} in JSON. */
export const listenersAnnotation = "nodeless.dev/http-listeners";

/** An address at which requests are taken. */
export type NodeListener = { readonly address: string; readonly httpPort?: number; readonly httpsPort?: number };

/** What a Node says. Nothing where it says nothing that can be read. */
export function listenersOf({ metadata }: Node): readonly NodeListener[] {
  try {
    const parsed = JSON.parse(metadata?.annotations?.[listenersAnnotation] ?? "[]") as unknown;
    return Array.isArray(parsed) ? parsed.filter(isListener) : [];
  } catch {
    return [];
  }
}

/** As an Ingress' status has it. */
export function loadBalancerIngress({ address, httpPort, httpsPort }: NodeListener): IngressLoadBalancerIngress {
  const ports = [httpPort, httpsPort].filter((port) => port !== undefined);
  return { ip: address, ports: ports.map((port) => ({ port, protocol: "TCP" })) };
}

function isListener(value: unknown): value is NodeListener {
  if (typeof value !== "object" || value === null) return false;
  const { address, httpPort, httpsPort } = value as Record<string, unknown>;
  const isPort = (port: unknown) => port === undefined || Number.isInteger(port);
  return typeof address === "string" && isPort(httpPort) && isPort(httpsPort);
}
