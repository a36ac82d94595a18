/**
 * Ways to a cluster's API server as its administrator: the client's transport, and raw byte streams for logs.
 */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { StatusError, type Status } from "#apimachinery/status-error.ts";
import { UserError } from "#cli/command.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import type { Transport } from "#client/transport.ts";
import type { Cluster } from "./clusters.ts";

/** Where a cluster's API server is, and what proves the administrator to it. All but the URL is PEM. */
export type AdministratorAccess = {
  readonly server: string;
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
};

/** Reads the administrator's files. Throws UserError when the cluster was never up. */
export function administratorAccess({ record, layout }: Cluster): AdministratorAccess {
  const read = (file: string) => {
    try {
      return readFileSync(join(layout.pki, file), "utf8");
    } catch (cause) {
      throw new UserError(
        `cannot read the administrator's credentials of cluster "${record.name}": ${(cause as Error).message}`,
        { cause },
      );
    }
  };
  return {
    server: `https://127.0.0.1:${record.apiPort}`,
    ca: read("ca.crt"),
    certificate: read("admin.crt"),
    key: read("admin.key"),
  };
}

/** The transport of the administrator. */
export function connectAsAdministrator(cluster: Cluster, onWarning?: (text: string) => void): Transport {
  const { server, ca, certificate, key } = administratorAccess(cluster);
  return createHttpTransport({
    server,
    ca,
    clientCertificate: { certificate, key },
    userAgent: "nodeless",
    ...(onWarning && { onWarning }),
  });
}

/** GETs a path and gives its body piece by piece. Throws StatusError for an answer that is a failure. */
export async function readStream(
  cluster: Cluster,
  path: string,
  signal?: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { server, ca, certificate, key } = administratorAccess(cluster);
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    const options = { ca, cert: certificate, key, agent: false as const, ...(signal && { signal }) };
    const outgoing = request(new URL(path, server), options, resolve);
    outgoing.on("error", (cause) =>
      reject(new UserError(`cluster "${cluster.record.name}" does not answer: ${cause.message}; is it up?`, { cause })),
    );
    outgoing.end();
  });
  if (response.statusCode === 200) return response;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  throw StatusError.fromStatus(
    parseStatus(text) ?? { message: text, ...(response.statusCode === undefined ? {} : { code: response.statusCode }) },
  );
}

function parseStatus(text: string): Partial<Status> | undefined {
  try {
    return JSON.parse(text) as Partial<Status>;
  } catch {
    return undefined;
  }
}
