/**
 * pods/exec, pods/attach and pods/portforward: finds the pod's node and carries the client's upgraded connection on to it; the protocols end there.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { Connecter } from "#apiserver/server/connecter.ts";
import { chooseContainer, type ConnectParts, endpointOfPod, getPod } from "./node-access.ts";
import { tunnel } from "./tunnel.ts";

/** Which of the three. */
export type ContainerStream = "exec" | "attach" | "portforward";

/** Makes the connecter. */
export function createContainerConnecter(parts: ConnectParts, stream: ContainerStream): Connecter {
  return {
    async serve(connection) {
      const { context } = connection;
      const pod = await getPod(parts, context.info.namespace, context.info.name);
      const path = nodePath(stream, pod, context);
      const endpoint = await endpointOfPod(parts, pod);
      if (connection.type !== "upgrade") throw badRequest("Upgrade request required");
      await tunnel(connection, { ...endpoint, path, tls: parts.nodeCredentials });
    },
  };
}

/** Path and query of the node's API for this stream. */
function nodePath(stream: ContainerStream, pod: Pod, { request }: RequestContext): string {
  const { namespace, name } = pod.metadata ?? {};
  const query = new URLSearchParams();
  if (stream === "portforward") {
    for (const port of request.query.getAll("ports")) query.append("ports", port);
    return `/portForward/${namespace}/${name}?${query}`;
  }
  if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") {
    throw badRequest(`cannot exec into a container in a completed pod; current phase is ${pod.status.phase}`);
  }
  const container = chooseContainer(pod, request.query.get("container"));
  for (const [asked, told] of [
    ["stdin", "input"],
    ["stdout", "output"],
    ["stderr", "error"],
    ["tty", "tty"],
  ] as const) {
    if (isTrue(request.query.get(asked))) query.set(told, "1");
  }
  for (const word of request.query.getAll("command")) query.append("command", word);
  if (stream === "exec" && !query.has("command"))
    throw badRequest("you must specify at least 1 command for the container");
  return `/${stream}/${namespace}/${name}/${container}?${query}`;
}

function isTrue(value: string | undefined): boolean {
  return value === "true" || value === "1";
}
