/**
 * The query of a request for logs, checked as upstream's PodLogOptions.
 */
import { type FieldError, forbiddenField, invalid, invalidObject, notSupported } from "#apimachinery/field-error.ts";
import type { Query } from "#apiserver/api-request.ts";

/** As in core/v1. Absent: not asked for. */
export type PodLogOptions = {
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly sinceSeconds?: number;
  readonly sinceTime?: string;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  readonly stream?: "All" | "Stdout" | "Stderr";
};

const streams = ["All", "Stderr", "Stdout"];

/** Throws Invalid (422). */
export function parseLogOptions(query: Query): PodLogOptions {
  const errors: FieldError[] = [];
  const text = (name: string) => query.get(name);
  const flag = (name: string) => (text(name) === "true" || text(name) === "1" ? true : undefined);
  const number = (name: string, least: number, rule: string) => {
    const value = text(name);
    if (value === undefined || value === "") return undefined;
    const parsed = Number(value);
    if (!Number.isSafeInteger(parsed) || parsed < least)
      errors.push(invalid(name, Number.isNaN(parsed) ? value : parsed, rule));
    return parsed;
  };
  const options = {
    container: text("container"),
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    sinceSeconds: number("sinceSeconds", 1, "must be greater than 0"),
    sinceTime: text("sinceTime"),
    tailLines: number("tailLines", 0, "must be greater than or equal to 0"),
    limitBytes: number("limitBytes", 1, "must be greater than 0"),
    stream: text("stream"),
  };
  if (options.sinceSeconds !== undefined && options.sinceTime !== undefined) {
    errors.push(forbiddenField("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  }
  if (options.stream !== undefined && !streams.includes(options.stream))
    errors.push(notSupported("stream", options.stream, streams));
  if (errors.length > 0) throw invalidObject({ group: "", kind: "PodLogOptions", name: "" }, errors);
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as PodLogOptions;
}
