/**
 * Sends spans to a collector: OTLP over HTTP with JSON (opentelemetry-proto 1.x, "OTLP/HTTP", "JSON Protobuf Encoding"), in pieces, from a queue that is bounded. A collector that is away is asked again a few seconds later; what the queue
 * has no room for is dropped, oldest first, and counted. No library: what is sent is one document.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { FinishedSpan, OtlpSettings, SpanSink } from "./spans.ts";

const pieceSpans = 512;
const mostSpans = 4096;
const gatherMs = 500;
const retryMs = 5000;
const timeoutMs = 5000;
const longestError = 200;
/** Numbers of SpanKind. */
const kinds = { server: 2, client: 3, producer: 4, consumer: 5 } as const;
const errorCode = 2;

/** What it works with. */
export type SpanExporterOptions = {
  readonly settings: OtlpSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: Node's own. */
  readonly fetch?: typeof fetch;
};

/** One collector's. */
export class SpanExporter implements SpanSink {
  readonly #options: SpanExporterOptions;
  readonly sampledShare: number;
  #queue: FinishedSpan[] = [];
  #dropped = 0;
  #timer: Timer | undefined;
  #sending: Promise<void> = Promise.resolve();
  #isAway = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.sampledShare = options.settings.sampledShare;
  }

  record(span: FinishedSpan): void {
    this.#queue.push(span);
    if (this.#queue.length > mostSpans) {
      this.#queue.shift();
      this.#dropped++;
    }
    this.#timer ??= this.#options.clock.setTimer(this.#isAway ? retryMs : gatherMs, () => void this.#send());
  }

  /** Sends what there is, once. May be called twice. */
  async stop(): Promise<void> {
    await this.#send();
    this.#timer?.clear();
  }

  async #send(): Promise<void> {
    this.#timer?.clear();
    this.#sending = this.#sending.then(() => this.#sendAll()); // never rejects
    await this.#sending;
    this.#timer = undefined;
    if (this.#queue.length > 0) this.#timer = this.#options.clock.setTimer(retryMs, () => void this.#send());
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const piece = this.#queue.splice(0, pieceSpans);
      const problem = await this.#post(piece);
      if (problem !== undefined && !this.#isAway)
        this.#options.logger.warn("Could not send spans", { url: this.#options.settings.url, error: problem.why });
      this.#isAway = problem !== undefined;
      if (problem === undefined) continue;
      if (problem.isPassing) this.#queue = [...piece, ...this.#queue].slice(-mostSpans);
      return;
    }
    if (this.#dropped === 0) return;
    this.#options.logger.warn("Dropped spans that could not be sent", { spans: this.#dropped });
    this.#dropped = 0;
  }

  async #post(
    spans: readonly FinishedSpan[],
  ): Promise<{ readonly why: string; readonly isPassing: boolean } | undefined> {
    const { settings, fetch: post = fetch } = this.#options;
    try {
      const response = await post(settings.url, {
        method: "POST",
        headers: { ...settings.headers, "content-type": "application/json" },
        body: JSON.stringify(documentOf(settings.serviceName, spans)),
        redirect: "manual",
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await response.text();
      if (response.ok) return undefined;
      const isPassing = [429, 502, 503, 504].includes(response.status);
      return { why: `${response.status} ${text.slice(0, longestError)}`, isPassing };
    } catch (error) {
      const { message, cause } = error as Error;
      return { why: cause instanceof Error ? `${message}: ${cause.message}` : message, isPassing: true };
    }
  }
}

function documentOf(serviceName: string, spans: readonly FinishedSpan[]): object {
  const resource = { attributes: attributesOf({ "service.name": serviceName }) };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "nodeless" }, spans: spans.map(spanOf) }] }] };
}

function spanOf(span: FinishedSpan): object {
  const { traceId, spanId, parentId, name, kind, startMs, endMs, attributes, error } = span;
  return {
    traceId,
    spanId,
    ...(parentId === undefined ? {} : { parentSpanId: parentId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    ...(error === undefined ? {} : { status: { code: errorCode, message: error } }),
  };
}

function attributesOf(attributes: Readonly<Record<string, string | number>>): readonly object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(Math.round(value)) } : { stringValue: value },
  }));
}

/** As text: no number of ours is that exact. */
function nanos(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}
