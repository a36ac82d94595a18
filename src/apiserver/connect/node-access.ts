/**
 * Where a node's API is, and how the API server proves itself to it.
 */
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

/** What connecters work with. */
export type ConnectParts = {
  /** This server's own client. A function: the server is made after its connecters. */
  readonly client: () => Client;
  /** PEM: what the API server shows to nodes, and who signs what nodes show. */
  readonly nodeCredentials: { readonly certificate: string; readonly key: string; readonly ca: string };
  /** Range of pods where those live on loopback addresses, in the dots of a /24 or /16: "127.42.0.". Default: no loopback address is a pod's. */
  readonly loopbackPods?: string | undefined;
};

/** Address and port of a node's API. */
export type NodeEndpoint = { readonly host: string; readonly port: number };

const core = (resource: string) => ({ group: "", version: "v1", resource });

/** The pod. Throws NotFound. */
export async function getPod(parts: ConnectParts, namespace: string, name: string): Promise<Pod> {
  return await parts.client().get<Pod>({ resource: core("pods"), namespace, name });
}

/** Where the node of a pod answers. Throws BadRequest for a pod without a node. */
export async function endpointOfPod(parts: ConnectParts, pod: Pod): Promise<NodeEndpoint> {
  const node = pod.spec?.nodeName;
  if (node === undefined || node === "") throw badRequest(`pod ${pod.metadata?.name} does not have a host assigned`);
  return await endpointOfNode(parts, node);
}

/** Where a node answers. Throws NotFound, and ServiceUnavailable for a node without an address. */
export async function endpointOfNode(parts: ConnectParts, name: string): Promise<NodeEndpoint> {
  const { status } = await parts.client().get<Node>({ resource: core("nodes"), name });
  const addresses = status?.addresses ?? [];
  const host = ["InternalIP", "ExternalIP", "Hostname"]
    .map((type) => addresses.find((address) => address.type === type)?.address)
    .find((found) => found !== undefined);
  if (host === undefined) {
    throw new StatusError({
      reason: "ServiceUnavailable",
      code: 503,
      message: `no preferred addresses found for node "${name}"`,
    });
  }
  return { host, port: status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 10_250 };
}

/** The container that is meant: the named one, or the only one. Throws BadRequest with the choices. */
export function chooseContainer(pod: Pod, asked: string | undefined): string {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const all = [...containers, ...initContainers, ...ephemeralContainers].map(({ name }) => name);
  const podName = pod.metadata?.name;
  if (asked !== undefined && asked !== "") {
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${podName}`);
  }
  const [only] = containers;
  if (only && containers.length === 1) return only.name;
  const choices = containers.map(({ name }) => name).join(" ");
  const init =
    initContainers.length > 0
      ? ` or one of the init containers: [${initContainers.map(({ name }) => name).join(" ")}]`
      : "";
  throw badRequest(`a container name must be specified for pod ${podName}, choose one of: [${choices}]${init}`);
}
