/**
 * One group and version that another server serves: requests to it, made as the front proxy in the name of a user. As kube-aggregator's proxy handler and client-go's auth proxy round tripper.
 */
import type { IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { APIService } from "#api/generated/types/apiregistration-v1.ts";
import { unreachable } from "#apiserver/connect/tunnel.ts";
import type { User } from "#apiserver/request.ts";

/** What the server shows to aggregated ones; PEM. */
export type FrontProxy = { readonly certificate: string; readonly key: string };

/** Gives a ready endpoint of a Service. Throws StatusError. */
export type FindEndpoint = (
  namespace: string,
  name: string,
  port: string,
) => Promise<{ readonly host: string; readonly port: number }>;

/** How to reach the other server for one request. */
export type RemoteTarget = {
  readonly host: string;
  readonly port: number;
  readonly tls: {
    readonly certificate: string;
    readonly key: string;
    readonly ca?: string;
    readonly insecure: boolean;
    readonly serverName: string;
  };
};

/** One request. */
export type RemoteRequest = {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly user: User;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
  readonly signal: AbortSignal;
};

/** Who asks for documents and looks after the health of other servers. */
export const aggregatorUser: User = { name: "system:kube-aggregator", groups: ["system:masters"] };

/** A group and version behind another server. */
export class RemoteApi {
  readonly apiService: APIService;
  readonly #frontProxy: FrontProxy;
  readonly #findEndpoint: FindEndpoint;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 8 });

  constructor(apiService: APIService, frontProxy: FrontProxy, findEndpoint: FindEndpoint) {
    this.apiService = apiService;
    this.#frontProxy = frontProxy;
    this.#findEndpoint = findEndpoint;
  }

  /** Where a request goes just now. Throws StatusError when the Service has no endpoint. */
  async target(): Promise<RemoteTarget> {
    const { service, caBundle, insecureSkipTLSVerify = false } = this.apiService.spec ?? {};
    const { namespace = "", name = "", port = 443 } = service ?? {};
    const endpoint = await this.#findEndpoint(namespace, name, String(port));
    const tls = {
      ...this.#frontProxy,
      insecure: insecureSkipTLSVerify,
      serverName: `${name}.${namespace}.svc`,
      ...(caBundle ? { ca: Buffer.from(caBundle, "base64").toString() } : {}),
    };
    return { ...endpoint, tls };
  }

  /** Sends a request; resolves with the head of the answer. Throws StatusError 503 when the server is not reached. */
  async send(request: RemoteRequest): Promise<IncomingMessage> {
    const target = await this.target();
    const { certificate: cert, key, ca, insecure, serverName } = target.tls;
    const { body } = request;
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(
        {
          host: target.host,
          port: target.port,
          servername: serverName,
          method: request.method,
          path: request.path,
          headers: {
            ...(request.headers as Record<string, string | string[]> | undefined),
            ...identityHeaders(request.user),
            host: serverName,
            ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
          },
          cert,
          key,
          ...(ca === undefined ? {} : { ca }),
          rejectUnauthorized: !insecure,
          agent: this.#agent,
          signal: request.signal,
        },
        resolve,
      );
      outgoing.on("error", (cause) => reject(unreachable(target, cause)));
      outgoing.end(body);
    });
  }

  /** Closes idle connections: the next request makes a new one. */
  close(): void {
    this.#agent.destroy();
  }
}

/** The user, in the headers that the ConfigMap extension-apiserver-authentication names. */
export function identityHeaders(user: User): Record<string, string | string[]> {
  const extra = Object.entries(user.extra ?? {}).map(
    ([key, values]) => [`x-remote-extra-${escapeKey(key)}`, values.map(asBytes)] as const,
  );
  return {
    "x-remote-user": asBytes(user.name),
    ...(user.uid === undefined || user.uid === "" ? {} : { "x-remote-uid": asBytes(user.uid) }),
    ...(user.groups.length === 0 ? {} : { "x-remote-group": user.groups.map(asBytes) }),
    ...Object.fromEntries(extra),
  };
}

// Header names take few characters; the rest is percent-encoded, as client-go's headerKeyEscape.
function escapeKey(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9!#$&'*+.^_`|~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}

// Headers are Latin-1; what is beyond goes as its UTF-8 bytes, as Go sends it.
function asBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}
