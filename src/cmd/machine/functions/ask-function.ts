/**
 * Asks a function at the place where its cluster takes requests from this machine. The host goes in the request: names need not lead anywhere.
 */
import { METHODS, request, validateHeaderName, validateHeaderValue } from "node:http";
import { UserError } from "#cli/command.ts";
import type { FunctionAnswer, FunctionRequest } from "#cli/functions/function-tools.ts";
import { describeCluster, getCluster, type MachineContext } from "#cmd/machine/clusters.ts";

/** "http://127.0.0.1", with the port unless it is 80; undefined while none of the cluster's nodes takes requests. */
export async function requestAddress(context: MachineContext, cluster: string): Promise<string | undefined> {
  const { processes } = await describeCluster(context, getCluster(context, cluster));
  const place = processes.flatMap(({ listening = [] }) => listening).find(({ httpPort }) => httpPort !== undefined);
  return place && `http://${place.address}${place.httpPort === 80 ? "" : `:${place.httpPort}`}`;
}

/** Throws UserError when nobody answers. */
export async function askFunction(
  context: MachineContext,
  cluster: string,
  { url, method, headers, body }: FunctionRequest,
): Promise<FunctionAnswer> {
  checkRequest(method, headers);
  const address = await requestAddress(context, cluster);
  if (address === undefined)
    throw new UserError(`cluster "${cluster}" takes no requests: is it up? 'nodeless status' says it`);
  const { host, pathname, search } = new URL(url);
  const length = body === undefined ? {} : { "content-length": String(body.length) };
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    const options = { method, headers: { host, ...length, ...headers }, agent: false as const };
    const asked = request(new URL(pathname + search, address), options, resolve);
    asked.on("error", (cause) =>
      reject(new UserError(`${url} does not answer at ${address}: ${cause.message}`, { cause })),
    );
    asked.end(body);
  });
  const { rawHeaders } = response;
  const pairs = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""] as const] : [],
  );
  return { status: response.statusCode ?? 0, headers: pairs, body: response };
}

/** Throws UserError for what no request can have. */
function checkRequest(method: string, headers: Readonly<Record<string, string>>): void {
  try {
    if (!METHODS.includes(method)) throw new TypeError(`there is no method "${method}"`);
    for (const [name, value] of Object.entries(headers)) {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    }
  } catch (cause) {
    throw new UserError((cause as Error).message, { exitCode: 2, cause });
  }
}
