/**
 * Whether another server can be asked: its Service is there, listens, has endpoints, and answers a request for discovery. Reasons and messages as kube-aggregator's remote available
 * controller, v1.36.
 */
import type { APIServiceCondition } from "#api/generated/types/apiregistration-v1.ts";
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { aggregatorUser, type RemoteApi } from "./remote-api.ts";

/** The request should be answered quickly. */
const checkTimeoutMs = 5000;
/** Each may meet another endpoint. */
const attempts = 3;

/** The condition without its time. */
export type Availability = Pick<APIServiceCondition, "type" | "status" | "reason" | "message">;

/** What the cluster knows of the Service. */
export type ServiceState = { readonly service: Service | undefined; readonly slices: readonly EndpointSlice[] };

/** Decides on the condition Available. */
export async function checkAvailability(
  api: RemoteApi,
  state: ServiceState,
  signal: AbortSignal,
): Promise<Availability> {
  const problem = serviceProblem(api, state) ?? (await discoveryProblem(api, signal));
  if (problem !== undefined) return { type: "Available", status: "False", ...problem };
  return { type: "Available", status: "True", reason: "Passed", message: "all checks passed" };
}

type Problem = { readonly reason: string; readonly message: string };

function serviceProblem({ apiService }: RemoteApi, { service, slices }: ServiceState): Problem | undefined {
  const { namespace = "", name = "", port = 443 } = apiService.spec?.service ?? {};
  const where = `service/${name} in ${JSON.stringify(namespace)}`;
  if (service === undefined) return { reason: "ServiceNotFound", message: `${where} is not present` };
  if ((service.spec?.type ?? "ClusterIP") !== "ClusterIP") return undefined;
  const found = service.spec?.ports?.find((each) => each.port === port);
  if (found === undefined) {
    return { reason: "ServicePortError", message: `${where} is not listening on port ${port}` };
  }
  if (slices.length === 0) {
    return { reason: "EndpointsNotFound", message: `cannot find endpointslices for ${where}` };
  }
  const portName = found.name ?? "";
  if (slices.some((slice) => hasEndpoint(slice, portName))) return undefined;
  const message = `endpointslices for ${where} have no addresses with port name ${JSON.stringify(portName)}`;
  return { reason: "MissingEndpoints", message };
}

function hasEndpoint({ endpoints, ports }: EndpointSlice, portName: string): boolean {
  const isReady = (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false);
  return isReady && (ports ?? []).some(({ name, port }) => (name ?? "") === portName && port !== undefined);
}

async function discoveryProblem(api: RemoteApi, signal: AbortSignal): Promise<Problem | undefined> {
  const { group = "", version = "" } = api.apiService.spec ?? {};
  const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  let message = "";
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(checkTimeoutMs)]);
      const response = await api.send({ method: "GET", path, user: aggregatorUser, signal: limit });
      response.resume();
      const code = response.statusCode ?? 0;
      if (code >= 200 && code < 300) return undefined;
      message = `bad status from ${path}: ${code}`;
    } catch (error) {
      signal.throwIfAborted();
      api.close();
      message = `failing or missing response from ${path}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  return { reason: "FailedDiscoveryCheck", message };
}
