import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { SpanExporter } from "./span-exporter.ts";
import { type FinishedSpan, otlpSettings } from "./spans.ts";

const span: FinishedSpan = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: "00f067aa0ba902b7",
  name: "broker:orders.default",
  kind: "server",
  startMs: 1_767_225_600_123,
  endMs: 1_767_225_600_125.5,
  attributes: { "messaging.system": "knative", "http.response.status_code": 202 },
};

/** Answers as it is told, and keeps what was sent. */
function collector(clock: FakeClock) {
  const sent: { readonly url: string; readonly init: RequestInit }[] = [];
  const answers: (number | Error)[] = [];
  const post = async (url: string, init: RequestInit) => {
    sent.push({ url, init });
    const answer = answers.shift() ?? 200;
    if (answer instanceof Error) throw answer;
    return new Response("{}", { status: answer });
  };
  const settings = otlpSettings(
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318/", OTEL_EXPORTER_OTLP_HEADERS: "key=a%20b" },
    "me",
  );
  assert(settings);
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => void warned.push(message) };
  const exporter = new SpanExporter({ settings, clock, logger, fetch: post as typeof fetch });
  const spansOf = (at: number) => {
    const body = JSON.parse(String(sent[at]?.init.body)) as {
      readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly unknown[] }[] }[];
    };
    return body.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
  };
  return { exporter, sent, answers, warned, spansOf };
}

test("spans are sent together, as OTLP's JSON has them", async () => {
  const clock = new FakeClock();
  const { exporter, sent, spansOf } = collector(clock);

  exporter.record(span);
  exporter.record({ ...span, parentId: undefined, error: "HTTP 500" });
  await clock.advance(500);

  assert.equal(sent.length, 1);
  assert.equal(sent[0]?.url, "http://c:4318/v1/traces");
  assert.deepEqual(sent[0]?.init.headers, { key: "a b", "content-type": "application/json" });
  const first = {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentId,
    name: span.name,
    kind: 2,
    startTimeUnixNano: "1767225600123000000",
    endTimeUnixNano: "1767225600125500000",
    attributes: [
      { key: "messaging.system", value: { stringValue: "knative" } },
      { key: "http.response.status_code", value: { intValue: "202" } },
    ],
  };
  const { parentSpanId: _, ...root } = first;
  assert.deepEqual(spansOf(0), [first, { ...root, status: { code: 2, message: "HTTP 500" } }]);
});

test("a collector that is away gets them later, one that refuses them does not, and it is said once", async () => {
  const clock = new FakeClock();
  const { exporter, sent, answers, warned, spansOf } = collector(clock);
  answers.push(new Error("refused"), 503, 200, 400);

  exporter.record(span);
  await clock.advance(500);
  exporter.record(span);
  await clock.advance(5000);
  await clock.advance(5000);
  assert.deepEqual([sent.length, spansOf(2).length], [3, 2]);
  assert.deepEqual(warned, ["Could not send spans"]);
  exporter.record(span);
  await clock.advance(500);
  await clock.advance(20_000);

  assert.equal(sent.length, 4);
  await exporter.stop();
});

test("what there is no room for is dropped, and what is left goes at the end", async () => {
  const clock = new FakeClock();
  const { exporter, sent, warned } = collector(clock);
  for (let count = 0; count < 5000; count++) exporter.record(span);

  await exporter.stop();

  assert.equal(sent.length, 8);
  assert.deepEqual(warned, ["Dropped spans that could not be sent"]);
});

test("OpenTelemetry's variables say whether and where spans are sent", () => {
  const of = (environment: Record<string, string>) => otlpSettings(environment, "me");
  const at = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://c" };

  assert.equal(of({}), undefined);
  assert.equal(of({ OTEL_EXPORTER_OTLP_ENDPOINT: "c:4317" }), undefined);
  assert.equal(of({ ...at, OTEL_SDK_DISABLED: "true" }), undefined);
  assert.equal(of({ ...at, OTEL_TRACES_EXPORTER: "none" }), undefined);
  assert.equal(of({ ...at, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://d/x" })?.url, "http://d/x");
  assert.deepEqual(of(at), { url: "https://c/v1/traces", headers: {}, sampledShare: 1, serviceName: "me" });
  const ratio = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" };
  assert.equal(of({ ...at, ...ratio })?.sampledShare, 0.25);
  assert.equal(of({ ...at, OTEL_TRACES_SAMPLER: "parentbased_always_off" })?.sampledShare, 0);
});
