/**
 * What the API server passes on to the dispatcher: looking at events and at those that were given up, sending one, delivering again. Group `events.nodeless.dev/v1`, as an aggregated API: who asks was authenticated
 * and authorized by then (`brokers/events`, `brokers/dead`, `triggers/replay`, …).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { CloudEventError } from "#eventing/cloudevents/cloud-event-error.ts";
import { decodeMessage } from "#eventing/cloudevents/http-binding.ts";
import { withTrace } from "#eventing/dispatcher/broker-attributes.ts";
import type { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import type { SubscriptionRunner } from "#eventing/dispatcher/subscription-runner.ts";
import type { TopicRunner } from "#eventing/dispatcher/topic-runner.ts";
import type { SourceDelivery } from "#eventing/sources/adapters/source-metrics.ts";
import { describeSubscription, deliveriesOf } from "./deliveries.ts";
import { discoveryDocument, group, version } from "./discovery.ts";
import { deadPositions, streamDead, streamEvents } from "./event-stream.ts";

/** What it works with. */
export type EventApiOptions = {
  readonly dispatcher: Dispatcher;
  /** How the sending of sources goes. Default: there are none. */
  readonly sources?: () => readonly SourceDelivery[];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** An answer that is an error. */
class Refusal extends Error {
  readonly kind = "Refusal";
  readonly code: number;
  readonly reason: string;
  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

const largestData = 2 ** 20;
/** As base64 an event's data is longer by a third. */
const longestBody = 3 * 2 ** 19;
/** As much of a body that is too long is heard out, so that whoever sends it hears why. */
const heardOut = 64 * 2 ** 20;
const pathPattern = new RegExp(
  `^/apis/${group.replaceAll(".", "\\.")}/${version}/namespaces/([^/]+)/(brokers|inmemorychannels|triggers|subscriptions)/([^/]+)/([a-z]+)$`,
);

const deliveriesPattern = new RegExp(
  `^/apis/${group.replaceAll(".", "\\.")}/${version}/namespaces/([^/]+)/deliveries$`,
);

/** Answers requests. */
export class EventApi {
  readonly #options: EventApiOptions;

  constructor(options: EventApiOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#serve(request, response);
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      if (error instanceof Refusal) return refuse(response, error);
      if (error instanceof CloudEventError) return refuse(response, new Refusal(400, "BadRequest", error.message));
      this.#options.logger.error("A question about events could not be answered", { url: request.url, error });
      refuse(response, new Refusal(500, "InternalError", (error as Error).message));
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://dispatcher");
    const document = discoveryDocument(url.pathname);
    if (document) return answer(response, 200, document);
    const [, inNamespace] = deliveriesPattern.exec(url.pathname) ?? [];
    if (inNamespace !== undefined && request.method === "GET") {
      const { dispatcher, sources = () => [] } = this.#options;
      return answer(response, 200, deliveriesOf(decodeURIComponent(inNamespace), dispatcher, sources()));
    }
    const [, namespace = "", resource = "", name = "", verb = ""] = pathPattern.exec(url.pathname) ?? [];
    const isTopic = resource === "brokers" || resource === "inmemorychannels";
    if (verb === "") throw new Refusal(404, "NotFound", `there is nothing at ${url.pathname}`);
    const { method } = request;
    if (isTopic) {
      const topic = this.#findTopic(resource === "brokers" ? "Broker" : "Channel", namespace, decodeURIComponent(name));
      if (verb === "events" && method === "GET") return await streamEvents(topic, this.#stream(url, response));
      if (verb === "events" && method === "POST") return await this.#send(topic, request, response);
      if (verb === "dead" && method === "GET") return await this.#listDead(topic, url, response);
    } else {
      const runner = this.#findSubscription(resource, namespace, decodeURIComponent(name));
      if (verb === "delivery" && method === "GET") {
        const { metrics } = this.#options.dispatcher;
        return answer(response, 200, describeSubscription(runner, metrics));
      }
      if (verb === "replay" && method === "POST") return await this.#replay(runner, request, response);
    }
    throw new Refusal(405, "MethodNotAllowed", `${method} is not for ${resource}/${verb}`);
  }

  #findTopic(kind: "Broker" | "Channel", namespace: string, name: string): TopicRunner {
    const found = this.#options.dispatcher
      .topics()
      .find(({ topic }) => topic.kind === kind && topic.namespace === namespace && topic.name === name);
    if (!found) throw new Refusal(404, "NotFound", `${kind} ${namespace}/${name} does not exist, or is not ready yet`);
    return found;
  }

  #findSubscription(resource: string, namespace: string, name: string): SubscriptionRunner {
    const kind = resource === "triggers" ? "Broker" : "Channel";
    const found = this.#options.dispatcher
      .subscriptions()
      .find(
        ({ subscription, topic }) =>
          topic.topic.kind === kind && subscription.namespace === namespace && subscription.name === name,
      );
    const title = resource === "triggers" ? "Trigger" : "Subscription";
    if (!found) throw new Refusal(404, "NotFound", `${title} ${namespace}/${name} does not exist, or is not ready yet`);
    return found;
  }

  #stream(url: URL, response: ServerResponse) {
    const parameters = url.searchParams;
    return {
      response,
      clock: this.#options.clock,
      from: positionIn(parameters.get("from"), "from"),
      sinceMs: momentIn(parameters.get("since")),
      limit: positionIn(parameters.get("limit"), "limit"),
      isFollowing: parameters.get("follow") === "true",
    };
  }

  async #listDead(topic: TopicRunner, url: URL, response: ServerResponse): Promise<void> {
    const names = new Map(
      this.#options.dispatcher.subscriptions().map(({ subscription }) => [subscription.id, subscription]),
    );
    const trigger = url.searchParams.get("subscription");
    await streamDead(topic, { ...this.#stream(url, response), names, only: trigger });
  }

  async #send(topic: TopicRunner, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isPlain = request.headers["content-type"] === "application/json" && !request.headers["ce-specversion"];
    const headers = isPlain ? ["content-type", "application/cloudevents+json"] : request.rawHeaders;
    const { events } = decodeMessage({ headers, body: await readBody(request) });
    if (events.some(({ data }) => (data?.length ?? 0) > largestData)) throw tooLarge();
    const positions = await Promise.all(events.map((event) => topic.accept(withTrace(event, undefined, undefined))));
    answer(response, 202, { positions });
  }

  async #replay(runner: SubscriptionRunner, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const wanted = parse(await readBody(request));
    const { log } = runner.topic;
    if (wanted["dead"] === true) {
      const positions = await wantedPositions(runner, wanted["positions"]);
      return answer(response, 202, { delivering: await runner.redeliver(positions), of: positions.length });
    }
    const sinceMs = momentIn(wanted["since"]);
    const from = sinceMs === undefined ? positionIn(wanted["from"], "from") : await log.positionAt(sinceMs);
    if (from === undefined)
      throw new Refusal(400, "BadRequest", 'say "from" (a position), "since" (a time) or "dead": true');
    const first = Math.max(from, log.first);
    runner.rewind(first);
    answer(response, 202, { from: first, delivering: Math.max(0, log.end - first) });
  }
}

async function wantedPositions(runner: SubscriptionRunner, only: unknown): Promise<readonly number[]> {
  const positions = await deadPositions(await runner.topic.dead(), runner.subscription.id);
  return Array.isArray(only) ? positions.filter((position) => only.includes(position)) : positions;
}

function parse(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString());
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new Refusal(400, "BadRequest", "the body must be a JSON object");
}

function positionIn(value: unknown, name: string): number | undefined {
  if (value === null || value === undefined) return undefined;
  const position = Number(value);
  if (Number.isSafeInteger(position) && position >= 0) return position;
  throw new Refusal(400, "BadRequest", `"${name}" must be a whole number`);
}

function momentIn(value: unknown): number | undefined {
  if (value === null || value === undefined) return undefined;
  const moment = Date.parse(String(value));
  if (!Number.isNaN(moment)) return moment;
  throw new Refusal(400, "BadRequest", '"since" must be a time of RFC 3339');
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // To break off would end the connection, on which somebody else's request may be by then.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= longestBody) chunks.push(chunk);
    if (bytes > heardOut) break;
  }
  if (bytes > longestBody) throw tooLarge();
  return Buffer.concat(chunks);
}

function tooLarge(): Refusal {
  return new Refusal(413, "RequestEntityTooLarge", `an event's data may have ${largestData} bytes (1 MiB)`);
}

function refuse(response: ServerResponse, { code, reason, message }: Refusal): void {
  answer(response, code, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code });
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}
