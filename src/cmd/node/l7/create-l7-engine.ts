/**
 * A node's L7 engine with the places where it listens. Loaded with the first source that wants it.
 */
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { L7Engine, type L7EngineOptions } from "./l7-engine.ts";
import type { SpanExporter } from "#component-base/otlp/span-exporter.ts";
import { openSpans } from "#cmd/machine/spans.ts";
import type { Span } from "#proxy/exchange/exchange-parts.ts";
import { openPlaces, releasePlaces } from "./l7-places.ts";

export type CreateL7EngineOptions = {
  readonly environment: NodeJS.ProcessEnv;
  readonly cluster: Cluster;
  readonly plan: NodePlan;
  readonly onListening: L7EngineOptions["onListening"];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** It listens once somebody wants it to. */
export async function createL7Engine(options: CreateL7EngineOptions): Promise<L7Engine> {
  const { environment, plan, onListening, clock, logger } = options;
  const spans = await openSpans({ environment, serviceName: "nodeless-node", clock, logger });
  return new L7Engine({
    open: (listener) => openPlaces(listener, options),
    release: (listener) => releasePlaces(listener, plan),
    onListening,
    spans: spans && recorderOf(spans),
    clock,
    logger,
  });
}

/** A request through the engine is a span between the caller's and what the pod makes of it. */
function recorderOf(spans: SpanExporter): L7EngineOptions["spans"] {
  return {
    sampledShare: spans.sampledShare,
    record({ trace, startMs, endMs, route, cluster, status }: Span) {
      const { traceId, spanId, parentId } = trace;
      const attributes = { "http.response.status_code": status, "http.route": route, "nodeless.cluster": cluster };
      const error = status >= 500 ? `HTTP ${status}` : undefined;
      const name = route === "" ? "no route" : route;
      spans.record({ traceId, spanId, parentId, name, kind: "server", startMs, endMs, attributes, error });
    },
    stop: () => spans.stop(),
  };
}
