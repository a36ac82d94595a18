/**
 * Where events come in, over HTTP: 202 means that they are on the disk. Answers are those of Knative's data plane: 405, 404, 400, 413, and 5xx for what the sender should try again.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { Clock } from "#component-base/clock.ts";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { Logger } from "#component-base/logger.ts";
import { metricText } from "#component-base/metrics.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { CloudEventError } from "#eventing/cloudevents/cloud-event-error.ts";
import { decodeMessage } from "#eventing/cloudevents/http-binding.ts";
import { withStep, withTrace } from "./broker-attributes.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { type TopicRunner, WentRoundTooOften } from "./topic-runner.ts";
import type { Topic } from "./topology.ts";
import { recordStep, stepOfArrival } from "./trace-step.ts";

/** Whether somebody may send these to a topic. */
export type PolicyCheck = (
  topic: Topic,
  request: { readonly authorization: string | undefined; readonly events: readonly CloudEvent[] },
) => Promise<PolicyAnswer>;

export type PolicyAnswer =
  | { readonly isAllowed: true }
  | { readonly isAllowed: false; readonly status: 401 | 403; readonly message: string };

/** What a receiver works with. */
export type ReceiverOptions = {
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Largest message, in bytes. Default 1 MiB. Larger ones get 413. */
  readonly maxMessageBytes?: number;
  /** Default: everybody may. */
  readonly check?: PolicyCheck;
  /** Told of each event that was answered 202. Must not throw. */
  readonly onAccepted?: (topic: Topic, event: CloudEvent) => void;
  /** How long a topic that is not known is waited for: it may have been made a moment ago. Default 0. */
  readonly newTopicMs?: number;
  /** Told of each event that was taken and is traced. Default: nobody is. */
  readonly spans?: SpanSink | undefined;
};

const mebibyte = 2 ** 20;
/** Bytes of messages that are read or written to the disk at a time, over all senders: beyond it they are told to come again. */
const mostBytesAtOnce = 64 * mebibyte;
const overheadBytes = 4096;
const mostConnections = 10_000;

type Answer = { readonly status: number; readonly message?: string; readonly retryAfterSeconds?: number };

/** A server of events. */
export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #maxMessageBytes: number;
  readonly #server: Server;
  #bytes = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes ?? mebibyte;
    this.#server = createServer(
      { headersTimeout: 10_000, requestTimeout: 60_000, keepAliveTimeout: 65_000, maxHeaderSize: 128 * 1024 },
      (request, response) => void this.#serve(request, response), // never rejects
    );
    this.#server.maxConnections = mostConnections;
  }

  /** Takes requests there, or on a socket that listens already. Gives the port. */
  async listen(place: { readonly port: number; readonly host: string } | { readonly fd: number }): Promise<number> {
    this.#server.listen({ ...place, exclusive: true, backlog: 1024 });
    await once(this.#server, "listening");
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Answers what is under way, then closes. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const timer = this.#options.clock.setTimer(2000, () => this.#server.closeAllConnections());
    await closed;
    timer.clear();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("allow", "POST, OPTIONS");
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (request.method === "GET" && (path === "/metrics" || path === "/healthz"))
      return this.#tellOfItself(path, response);
    if (request.method === "OPTIONS") return shakeHands(response);
    const host = (request.headers.host ?? "").split(":")[0]?.toLowerCase() ?? "";
    const { dispatcher, newTopicMs = 0 } = this.#options;
    const topic = dispatcher.findTopic(host, path) ?? (await dispatcher.awaitTopic(host, path, newTopicMs));
    const answer = await this.#answer(request, topic, path);
    if (response.destroyed) return;
    if (answer.retryAfterSeconds !== undefined) response.setHeader("retry-after", String(answer.retryAfterSeconds));
    // What was not read of the request is not going to be.
    if (!request.complete) response.setHeader("connection", "close");
    const text = answer.message === undefined ? "" : `${answer.message}\n`;
    if (text !== "") response.setHeader("content-type", "text/plain; charset=utf-8");
    response.writeHead(answer.status, { "content-length": Buffer.byteLength(text) }).end(text);
    if (!request.complete) request.resume();
  }

  async #answer(request: IncomingMessage, topic: TopicRunner | undefined, path: string): Promise<Answer> {
    if (request.method !== "POST") return { status: 405, message: "events are sent with POST" };
    if (!topic) return { status: 404, message: `there is no Broker or Channel at ${path}` };
    const startMs = this.#options.clock.now();
    const types: string[] = [];
    const answer = await this.#take(request, topic, types);
    const tookMs = this.#options.clock.now() - startMs;
    for (const type of types.length === 0 ? [""] : types) {
      this.#options.dispatcher.metrics.received(topic.topic, type, answer.status, tookMs);
    }
    return answer;
  }

  async #take(request: IncomingMessage, topic: TopicRunner, types: string[]): Promise<Answer> {
    // Who does not say how much comes may send as much as anybody.
    const length = Number(request.headers["content-length"] ?? this.#maxMessageBytes);
    const reserved = Math.min(length, this.#maxMessageBytes) + overheadBytes;
    if (this.#bytes + reserved > mostBytesAtOnce) {
      return { status: 503, message: "too many events come in at once", retryAfterSeconds: 1 };
    }
    this.#bytes += reserved;
    try {
      const body = await this.#readBody(request);
      if (!body) return { status: 413, message: `an event may have ${this.#maxMessageBytes} bytes` };
      const { events } = decodeMessage({ headers: request.rawHeaders, body });
      types.push(...events.map(({ attributes }) => String(attributes.get("type"))));
      const { authorization } = request.headers;
      const permission = (await this.#options.check?.(topic.topic, { authorization, events })) ?? { isAllowed: true };
      if (!permission.isAllowed) return permission;
      const { traceparent, tracestate } = request.headers;
      const state = Array.isArray(tracestate) ? tracestate.join(",") : tracestate;
      const parent = typeof traceparent === "string" ? traceparent : undefined;
      await Promise.all(events.map((event) => this.#accept(topic, event, { parent, state })));
      for (const event of events) this.#options.onAccepted?.(topic.topic, event);
      return { status: 202 };
    } catch (error) {
      return this.#refusal(error, topic.topic);
    } finally {
      this.#bytes -= reserved;
    }
  }

  /** In the trace that it is of. */
  async #accept(
    topic: TopicRunner,
    event: CloudEvent,
    { parent, state }: { readonly parent: string | undefined; readonly state: string | undefined },
  ): Promise<void> {
    const { spans, clock } = this.#options;
    if (spans === undefined) return void (await topic.accept(withTrace(event, parent, state)));
    const step = stepOfArrival(event, parent, spans);
    const startMs = clock.now();
    await topic.accept(withStep(event, step, state));
    const { kind, name, namespace } = topic.topic;
    const facts = { name: `${kind.toLowerCase()}:${name}.${namespace}`, kind: "server", event, status: 202 } as const;
    recordStep(spans, step, { ...facts, startMs, endMs: clock.now() });
  }

  /** Undefined when it is too large. Throws when the sender broke off. */
  async #readBody(request: IncomingMessage): Promise<Buffer | undefined> {
    if (Number(request.headers["content-length"] ?? 0) > this.#maxMessageBytes) return undefined;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > this.#maxMessageBytes) {
        request.pause();
        resolve(undefined);
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes)));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the sender broke off")));
    return await promise;
  }

  #refusal(error: unknown, { namespace, name }: Topic): Answer {
    if (error instanceof CloudEventError) return { status: error.status, message: error.message };
    if (error instanceof WentRoundTooOften) return { status: 400, message: error.message };
    const kind = (error as { readonly kind?: string }).kind;
    if (kind === "DiskFull")
      return { status: 507, message: "the disk is full: the event was not kept", retryAfterSeconds: 5 };
    this.#options.logger.error("An event could not be kept", { topic: `${namespace}/${name}`, error });
    return { status: 500, message: "the event could not be kept" };
  }

  #tellOfItself(path: string, response: ServerResponse): void {
    const text = path === "/healthz" ? "ok\n" : metricText(this.#options.dispatcher.measure().registry.snapshot());
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text);
  }
}

/** The question of webhooks whether they may come (HTTP 1.1 Web Hooks for Event Delivery). */
function shakeHands(response: ServerResponse): void {
  response.writeHead(200, { "webhook-allowed-origin": "*", "webhook-allowed-rate": "*", "content-length": 0 }).end();
}
