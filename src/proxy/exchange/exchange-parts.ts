/**
 * What an exchange needs of the engine around it.
 */
import type { Clock } from "#component-base/clock.ts";
import type { AccessLog } from "#proxy/observe/access-log.ts";
import type { ClusterLoads } from "#proxy/observe/cluster-loads.ts";
import type { ProxyMetrics } from "#proxy/observe/proxy-metrics.ts";
import type { TraceContext } from "#proxy/observe/trace-context.ts";
import type { Deadlines } from "#proxy/message/deadlines.ts";
import type { RouteTable } from "#proxy/routing/route-table.ts";
import type { Cluster } from "#proxy/upstream/cluster.ts";
import type { HoldGate } from "./hold-gate.ts";

/** A request's span, for whoever reports them. */
export type Span = {
  readonly trace: TraceContext;
  readonly startMs: number;
  readonly endMs: number;
  readonly route: string;
  readonly cluster: string;
  readonly status: number;
};

/** Takes spans. Traces are begun and continued only where there is one. */
export interface SpanRecorder {
  /** A request that is sampled is over. Must not throw. */
  record(span: Span): void;
  /** Share of requests without a trace that begin a sampled one, 0 to 1. */
  readonly sampledShare: number;
}

export type ExchangeParts = {
  readonly routes: RouteTable;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly holds: HoldGate;
  readonly metrics: ProxyMetrics;
  readonly loads: ClusterLoads;
  readonly accessLog: AccessLog | undefined;
  readonly spans: SpanRecorder | undefined;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly random: () => number;
};
