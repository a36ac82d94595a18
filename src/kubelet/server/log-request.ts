/**
 * The query of a log request as {@link LogOptions}. As PodLogOptions and its validation, v1.36.
 */
import type { LogOptions } from "#kubelet/provider.ts";

/** Why a query is refused. */
export class BadLogQuery extends Error {
  readonly kind = "BadLogQuery";
  readonly code: 400 | 422;
  constructor(code: 400 | 422, message: string) {
    super(message);
    this.code = code;
  }
}

/** Parses follow, previous, timestamps, sinceSeconds, sinceTime, tailLines, limitBytes and stream. Throws {@link BadLogQuery}. */
export function parseLogQuery(query: URLSearchParams, nowMs: number): LogOptions {
  const tailLines =
    numberOf(query, query.get("tail") === "all" ? "" : "tailLines") ??
    (query.get("tail") === "all" ? undefined : numberOf(query, "tail"));
  const limitBytes = numberOf(query, "limitBytes");
  const sinceSeconds = numberOf(query, "sinceSeconds");
  const sinceTime = query.get("sinceTime");
  const stream = query.get("stream") || "All";
  const isInvalid =
    (tailLines !== undefined && tailLines < 0) ||
    (limitBytes !== undefined && limitBytes < 1) ||
    (sinceSeconds !== undefined && sinceSeconds < 1) ||
    (sinceSeconds !== undefined && sinceTime !== null) ||
    (tailLines !== undefined && stream !== "All") ||
    !isStream(stream);
  if (isInvalid || !isStream(stream)) throw new BadLogQuery(422, '{"message": "Invalid request."}');
  const sinceTimeMs = sinceSeconds === undefined ? timeOf(sinceTime) : nowMs - sinceSeconds * 1000;
  return {
    follow: booleanOf(query, "follow"),
    previous: booleanOf(query, "previous"),
    timestamps: booleanOf(query, "timestamps"),
    stream,
    ...(sinceTimeMs === undefined ? {} : { sinceTimeMs }),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  };
}

function isStream(text: string): text is "All" | "Stdout" | "Stderr" {
  return text === "All" || text === "Stdout" || text === "Stderr";
}

function booleanOf(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  return text !== null && text !== "false" && text !== "0";
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^-?\d+$/.test(text)) throw new BadLogQuery(400, '{"message": "Unable to decode query."}');
  return Number(text);
}

function timeOf(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new BadLogQuery(400, '{"message": "Unable to decode query."}');
  return ms;
}
