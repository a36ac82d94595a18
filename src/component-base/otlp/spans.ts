/**
 * Spans for whoever collects traces (OpenTelemetry): what a part says of a piece of work that is over, and where they are to be sent, out of OpenTelemetry's own variables.
 */

/** A piece of work that is over. */
export type FinishedSpan = {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16. */
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: "server" | "client" | "producer" | "consumer";
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** What went wrong, if anything did. */
  readonly error?: string | undefined;
};

/** Takes spans. */
export interface SpanSink {
  /** Must not take long, and must not throw. */
  record(span: FinishedSpan): void;
  /** Share of the traces that begin here which are sampled, 0 to 1. */
  readonly sampledShare: number;
}

/** Where spans go. */
export type OtlpSettings = {
  /** Of traces: "http://127.0.0.1:4318/v1/traces". */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sampledShare: number;
  readonly serviceName: string;
};

/** What OpenTelemetry's variables say; undefined when nothing is to be sent. Only HTTP with JSON is spoken, whatever protocol is named. */
export function otlpSettings(
  environment: Readonly<Record<string, string | undefined>>,
  serviceName: string,
): OtlpSettings | undefined {
  const value = (name: string) => environment[`OTEL_${name}`]?.trim() ?? "";
  const base = value("EXPORTER_OTLP_ENDPOINT").replace(/\/+$/, "");
  const url = value("EXPORTER_OTLP_TRACES_ENDPOINT") || (base === "" ? "" : `${base}/v1/traces`);
  const isOff = value("SDK_DISABLED").toLowerCase() === "true" || value("TRACES_EXPORTER") === "none";
  if (isOff || !/^https?:$/.test(URL.parse(url)?.protocol ?? "")) return undefined;
  const headers = value("EXPORTER_OTLP_TRACES_HEADERS") || value("EXPORTER_OTLP_HEADERS");
  const sampler = value("TRACES_SAMPLER");
  const share = value("TRACES_SAMPLER_ARG") === "" ? 1 : Number(value("TRACES_SAMPLER_ARG"));
  return {
    url,
    headers: parseHeaders(headers),
    sampledShare: sampler.endsWith("always_off")
      ? 0
      : sampler.endsWith("ratio") && share >= 0 && share <= 1
        ? share
        : 1,
    serviceName,
  };
}

/** "api-key=1,team=a%20b". */
function parseHeaders(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(",").flatMap((part): [string, string][] => {
    const [, name, value = ""] = /^\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
    return name === undefined ? [] : [[name.toLowerCase(), decode(value)]];
  });
  return Object.fromEntries(pairs);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
