/**
 * What the access log says of a request that is over.
 */
import { findField } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import type { AccessEntry } from "#proxy/observe/access-log.ts";
import type { ResponseFlag } from "#proxy/observe/response-flags.ts";
import type { ClientFacts } from "./streams.ts";

/** What is known at the end. */
export type ExchangeRecord = {
  readonly head: RequestHead;
  readonly facts: ClientFacts;
  readonly startMs: number;
  readonly endMs: number;
  readonly responseStartMs: number | undefined;
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly received: number;
  readonly sent: number;
  readonly route: string;
  readonly cluster: string;
  readonly upstreamHost: string | undefined;
  readonly tries: number;
  readonly requestId: string;
  readonly traceId: string | undefined;
};

export function accessEntry(record: ExchangeRecord): AccessEntry {
  const { head, facts, startMs, responseStartMs } = record;
  return {
    start_time: new Date(startMs).toISOString(),
    listener: facts.listener,
    method: head.method,
    authority: head.authority,
    path: head.target,
    protocol: `HTTP/${head.version}`,
    response_code: record.status,
    response_flags: record.flag,
    bytes_received: record.received,
    bytes_sent: record.sent,
    duration: record.endMs - startMs,
    response_start: responseStartMs === undefined ? null : responseStartMs - startMs,
    route_name: record.route === "" ? null : record.route,
    upstream_cluster: record.cluster === "" ? null : record.cluster,
    upstream_host: record.upstreamHost ?? null,
    tries: record.tries,
    downstream_remote_address: `${facts.address}:${facts.port}`,
    requested_server_name: facts.serverName ?? null,
    request_id: record.requestId,
    trace_id: record.traceId ?? null,
    user_agent: findField(head.fields, "user-agent") ?? null,
    x_forwarded_for: findField(head.fields, "x-forwarded-for") ?? null,
  };
}
