/**
 * GET of a node's own API.
 */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { type ConnectParts, endpointOfNode, type NodeEndpoint } from "./node-access.ts";
import { failureOf, unreachable } from "./tunnel.ts";

/** The node's answer, its body not read yet. Throws StatusError for a node that is away and for every status but 200. */
export async function askNode(
  { nodeCredentials }: Pick<ConnectParts, "nodeCredentials">,
  endpoint: NodeEndpoint,
  path: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { certificate, key, ca } = nodeCredentials;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpsRequest({ ...endpoint, path, cert: certificate, key, ca, agent: false, signal }, resolve);
    outgoing.on("error", (cause) => reject(unreachable(endpoint, cause)));
    outgoing.end();
  });
  if (response.statusCode === 200) return response;
  throw failureOf(response.statusCode ?? 500, await textOf(response));
}

/** Makes what reads a document of a node's by the node's name. */
export function nodeReader(parts: ConnectParts, path: string): (node: string, signal: AbortSignal) => Promise<string> {
  return async (node, signal) => await textOf(await askNode(parts, await endpointOfNode(parts, node), path, signal));
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
