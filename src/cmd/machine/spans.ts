/**
 * A process' spans, where a collector is named to `nodeless up` (OTEL_EXPORTER_OTLP_ENDPOINT and its like): the variables go from process to process. Without one nothing of it is loaded.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { SpanExporter } from "#component-base/otlp/span-exporter.ts";
import { otlpSettings } from "#component-base/otlp/spans.ts";

/** Undefined when there is nobody to send to. Stop it at the end. */
export async function openSpans(options: {
  readonly environment: NodeJS.ProcessEnv;
  /** What the collector knows the process by: "nodeless-node". */
  readonly serviceName: string;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<SpanExporter | undefined> {
  const { environment, serviceName, clock, logger } = options;
  const settings = otlpSettings(environment, serviceName);
  if (settings === undefined) return undefined;
  const exporter = await import("#component-base/otlp/span-exporter.ts");
  logger.info("Sent spans to a collector from now on", { url: settings.url });
  return new exporter.SpanExporter({ settings, clock, logger });
}
