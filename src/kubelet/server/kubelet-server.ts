/**
 * The node's own API over HTTPS: logs, lists of pods, statistics, and connections into containers. Paths as pkg/kubelet/server; only the API server and those whom RBAC
 * allows get in.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { type MetricSnapshot, metricText } from "#component-base/metrics.ts";
import type { Logger } from "#component-base/logger.ts";
import { findContainer } from "#kubelet/engine/pod-view.ts";
import type { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { PodStreams } from "#kubelet/provider.ts";
import { cadvisorMetrics } from "./cadvisor-metrics.ts";
import { CallerCheck } from "./caller.ts";
import { BadLogQuery, parseLogQuery } from "./log-request.ts";
import type { NodeStatistics } from "./node-statistics.ts";
import { resourceMetrics, statsSummary } from "./node-statistics.ts";
import { processMetrics } from "./process-metrics.ts";
import type { StreamHandler, StreamTarget } from "./stream-seam.ts";

/** Where and how the server listens. */
export type KubeletServerSettings = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Server certificate and key, and the CA of client certificates, as PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
  /** Calls back when certificate and key were renewed; the signal ends that. */
  readonly onRenewal?: (
    renew: (pair: { readonly certificate: string; readonly key: string }) => void,
    signal: AbortSignal,
  ) => void;
  /** exec, attach and port-forward; without it they are answered with 501. */
  readonly onStream?: StreamHandler;
};

export type KubeletServerOptions = KubeletServerSettings & {
  readonly nodeName: string;
  readonly client: Client;
  readonly pods: () => readonly Pod[];
  readonly streams: Partial<PodStreams>;
  readonly statistics: () => Promise<NodeStatistics>;
  /** The text of /metrics/probes. */
  readonly probeMetrics: () => string;
  /** For /logs/ended/NAME. */
  readonly endedLogs?: Pick<EndedLogs, "read">;
  /** Of others in this process, for /metrics. */
  readonly moreMetrics?: () => Promise<readonly MetricSnapshot[]>;
  readonly machine: { readonly cpus: number; readonly memoryBytes: number };
  readonly clock: Clock;
  readonly logger: Logger;
};

/** An answer that is no success. */
class Refusal extends Error {
  readonly kind = "Refusal";
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Serves the node's API from start to stop. */
export class KubeletServer implements Service {
  readonly #options: KubeletServerOptions;
  readonly #callers: CallerCheck;
  readonly #stopped = new AbortController();
  #server: Server | undefined;

  constructor(options: KubeletServerOptions) {
    this.#options = options;
    this.#callers = new CallerCheck(options);
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { certificate, key, clientCa, host, port, onRenewal } = this.#options;
    // Certificates that do not fit are not refused here: the caller may have a token.
    const tls = { cert: certificate, key, ca: clientCa, requestCert: true, rejectUnauthorized: false };
    const server = createServer(
      { ...tls, minVersion: "TLSv1.2" },
      (request, response) => void this.#serve(request, response),
    );
    server.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
    this.#server = server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(port, host, resolve);
    await promise;
    // Connections that are there stay.
    onRenewal?.(
      (pair) => server.setSecureContext({ cert: pair.certificate, key: pair.key, ca: clientCa }),
      this.#stopped.signal,
    );
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    server.close();
    server.closeAllConnections();
  }

  /** The port that it listens on. */
  get port(): number {
    return (this.#server?.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? "/", "https://node");
      await this.#checkCaller(request, url);
      await this.#route(request, response, url);
    } catch (error) {
      this.#answerError(response, error);
    }
  }

  async #checkCaller(request: IncomingMessage, url: URL): Promise<void> {
    const denial = await this.#callers.deny(request, url.pathname);
    if (denial) throw new Refusal(denial.code, denial.message);
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, first = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (request.method !== "GET" && request.method !== "HEAD") throw new Refusal(405, "405: Method Not Allowed");
    if (first === "containerLogs") return this.#logs(rest, url, request, response);
    if (first === "logs" && rest[0] === "ended") return this.#endedLogs(rest[1] ?? "", response);
    if (first === "healthz") return send(response, "text/plain; charset=utf-8", "ok");
    if (first === "pods") return send(response, "application/json", JSON.stringify(podList(this.#options.pods())));
    if (first === "stats" && rest[0] === "summary") return this.#summary(response);
    if (first === "metrics") return this.#metrics(rest.join("/"), response);
    throw new Refusal(404, "404 page not found");
  }

  async #logs(path: readonly string[], url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [namespace = "", name = "", container = ""] = path;
    const { streams, clock } = this.#options;
    const options = parseLogQuery(url.searchParams, clock.now());
    const pod = this.#findPod(namespace, name);
    if (!findContainer(pod, container)) throw containerNotFound(container, name);
    if (!streams.logs) throw new Refusal(501, "logs are not supported by this node's provider");
    const gone = new AbortController();
    const socket = request.socket;
    socket.once("close", () => gone.abort(new Error("the client left")));
    const log = await streams.logs(refOf(pod), container, options, gone.signal);
    response.writeHead(200, { "content-type": "text/plain" });
    response.flushHeaders();
    for await (const chunk of log) {
      if (!response.write(chunk)) await drained(response, gone.signal);
      if (gone.signal.aborted) return;
    }
    response.end();
    await finished(response).catch(() => undefined); // the client is gone
  }

  async #endedLogs(name: string, response: ServerResponse): Promise<void> {
    // Decoded names may hold what leads elsewhere.
    const isName = /^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$/.test(name);
    const text = isName ? await this.#options.endedLogs?.read(name) : undefined;
    if (text === undefined) throw new Refusal(404, "404 page not found");
    response.writeHead(200, { "content-type": "text/plain" });
    response.end(text);
  }

  async #summary(response: ServerResponse): Promise<void> {
    const { nodeName, clock, statistics } = this.#options;
    send(response, "application/json", JSON.stringify(statsSummary(nodeName, await statistics(), clock.now())));
  }

  async #metrics(which: string, response: ServerResponse): Promise<void> {
    const { nodeName, pods, statistics, probeMetrics, moreMetrics, machine, clock } = this.#options;
    const texts: Readonly<Record<string, () => string | Promise<string>>> = {
      "": async () => processMetrics(nodeName, pods()) + metricText((await moreMetrics?.()) ?? []),
      resource: async () => resourceMetrics(await statistics(), clock.now()),
      cadvisor: async () => cadvisorMetrics(await statistics(), pods(), { ...machine, nowMs: clock.now() }),
      probes: probeMetrics,
    };
    const make = Object.hasOwn(texts, which) ? texts[which] : undefined;
    if (!make) throw new Refusal(404, "404 page not found");
    send(response, "text/plain; version=0.0.4; charset=utf-8", await make());
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const url = new URL(request.url ?? "/", "https://node");
      await this.#checkCaller(request, url);
      const target = this.#streamTarget(url);
      const { onStream, streams } = this.#options;
      if (!onStream || !streams.exec) throw new Refusal(501, "streaming is not supported by this node");
      onStream({ target, streams: streams as PodStreams, request, socket, head });
    } catch (error) {
      const { code, message } = refusalOf(error);
      socket.end(
        `HTTP/1.1 ${code} ${code === 404 ? "Not Found" : "Error"}\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`,
      );
    }
  }

  #streamTarget(url: URL): StreamTarget {
    const [, kind = "", namespace = "", name = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
    const query = url.searchParams;
    if (kind !== "exec" && kind !== "attach" && kind !== "portForward") throw new Refusal(404, "404 page not found");
    const pod = this.#findPod(namespace, name);
    const ref = refOf(pod);
    if (kind === "portForward") {
      const ports = [...query.getAll("port"), ...query.getAll("ports").flatMap((it) => it.split(","))].map(Number);
      return { kind, ref, ports };
    }
    // Some clients name the uid before the container.
    const container = rest.at(-1) ?? "";
    if (!findContainer(pod, container)) throw containerNotFound(container, name);
    const flag = (...names: string[]) => names.some((it) => ["1", "true"].includes(query.get(it) ?? ""));
    const tty = flag("tty");
    const streams = {
      stdin: flag("input", "stdin"),
      stdout: flag("output", "stdout"),
      stderr: flag("error", "stderr"),
    };
    if (!streams.stdin && !streams.stdout && !streams.stderr) {
      throw new Refusal(400, "you must specify at least 1 of stdin, stdout, stderr");
    }
    if (tty && streams.stderr) throw new Refusal(400, "tty and stderr cannot both be true");
    return { kind, ref, container, command: query.getAll("command"), tty, ...streams };
  }

  #findPod(namespace: string, name: string): Pod {
    const found = this.#options
      .pods()
      .find((pod) => pod.metadata?.namespace === namespace && pod.metadata.name === name);
    if (!found) throw new Refusal(404, `pod ${JSON.stringify(name)} does not exist`);
    return found;
  }

  #answerError(response: ServerResponse, error: unknown): void {
    const { code, message } = refusalOf(error);
    if (code >= 500) this.#options.logger.warn("Request to the node failed", { error });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.writeHead(code, { "content-type": "text/plain; charset=utf-8" });
    response.end(message);
  }
}

function refusalOf(error: unknown): { readonly code: number; readonly message: string } {
  if (error instanceof Refusal || error instanceof BadLogQuery) return error;
  if (error instanceof StatusError) return error;
  return { code: 500, message: error instanceof Error ? error.message : String(error) };
}

function containerNotFound(container: string, pod: string): Refusal {
  return new Refusal(404, `container ${JSON.stringify(container)} not found in pod ${JSON.stringify(pod)}`);
}

function podList(pods: readonly Pod[]): object {
  const items = pods.map((pod) => ({ ...pod, apiVersion: undefined, kind: undefined }));
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

function send(response: ServerResponse, contentType: string, body: string): void {
  response.writeHead(200, { "content-type": contentType, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("drain", resolve);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}
