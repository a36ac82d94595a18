/**
 * From a Trigger's filters to a function of an event. Upstream's rules: all of a list must match; an attribute that is absent matches nothing; a filter that says nothing (no dialect, an empty value) is as if it were not there,
 * also inside of `not`, `all` and `any`.
 */
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { parseMediaType } from "#eventing/cloudevents/media-type.ts";
import { formatErrors } from "#knative/admission/field-error.ts";
import { compileCesql } from "./cesql/compile.ts";
import type { AttributeFilter, FilterSpec, SubscriptionsFilter } from "./filter-spec.ts";
import { validateFilters } from "./validate-filter.ts";

/** Whether an event is wanted. Never throws. */
export type EventFilter = (event: CloudEvent) => boolean;

/** Filters that cannot be compiled; the message names the place of each mistake. */
export class FilterError extends Error {
  readonly kind = "FilterError";
}

/** Undefined when every event is wanted. Throws {@link FilterError}: an object that was stored before its kind was validated may hold anything. */
export function compileFilter(spec: FilterSpec): EventFilter | undefined {
  const problems = validateFilters(spec);
  if (problems.length > 0) throw new FilterError(formatErrors(problems));
  if (spec.filters !== undefined && spec.filters.length > 0) return allOf(spec.filters);
  return attributesFilter(spec.filter?.attributes ?? {});
}

type Attributes = CloudEvent["attributes"];

function attributesFilter(wanted: AttributeFilter): EventFilter | undefined {
  const tests = Object.entries(wanted).map(([name, value]): EventFilter => {
    const read = readerOf(name);
    if (value !== "") return ({ attributes }) => read(attributes) === value;
    return ({ attributes }) => (read(attributes) ?? "") !== "";
  });
  return combine(tests);
}

function allOf(filters: readonly SubscriptionsFilter[]): EventFilter | undefined {
  return combine(filters.map(compileOne).filter((filter) => filter !== undefined));
}

function combine(filters: readonly EventFilter[]): EventFilter | undefined {
  if (filters.length <= 1) return filters[0];
  return (event) => filters.every((filter) => filter(event));
}

function compileOne(filter: SubscriptionsFilter): EventFilter | undefined {
  const { exact, prefix, suffix, all, any, not, cesql } = filter;
  if (isGiven(exact)) return matching(exact, (text, wanted) => text === wanted);
  if (isGiven(prefix)) return matching(prefix, (text, wanted) => text.startsWith(wanted));
  if (isGiven(suffix)) return matching(suffix, (text, wanted) => text.endsWith(wanted));
  if (all !== undefined && all.length > 0) return allOf(all);
  if (any !== undefined && any.length > 0) return anyOf(any);
  if (not !== undefined) return negated(compileOne(not));
  if (cesql === undefined || cesql === "") return undefined;
  const expression = compileCesql(cesql);
  return ({ attributes }) => expression.test(attributes);
}

function isGiven(filter: AttributeFilter | undefined): filter is AttributeFilter {
  return filter !== undefined && Object.keys(filter).length > 0;
}

function matching(wanted: AttributeFilter, test: (text: string, wanted: string) => boolean): EventFilter | undefined {
  const entries = Object.entries(wanted);
  if (entries.some(([, value]) => value === "")) return undefined;
  return combine(
    entries.map(([name, value]): EventFilter => {
      const read = readerOf(name);
      return ({ attributes }) => {
        const text = read(attributes);
        return text !== undefined && test(text, value);
      };
    }),
  );
}

function anyOf(filters: readonly SubscriptionsFilter[]): EventFilter | undefined {
  const tests = filters.map(compileOne).filter((filter) => filter !== undefined);
  if (tests.length <= 1) return tests[0];
  return (event) => tests.some((filter) => filter(event));
}

function negated(filter: EventFilter | undefined): EventFilter | undefined {
  return filter === undefined ? undefined : (event) => !filter(event);
}

/** Numbers and booleans are compared as text. Two names are older ones of others, as in Go's SDK. */
function readerOf(name: string): (attributes: Attributes) => string | undefined {
  if (name === "datamediatype") return readMediaType;
  const key = name === "schemaurl" ? "dataschema" : name;
  return (attributes) => {
    const value = attributes.get(key);
    return typeof value === "string" || value === undefined ? value : String(value);
  };
}

function readMediaType(attributes: Attributes): string | undefined {
  const value = attributes.get("datacontenttype");
  return typeof value === "string" ? parseMediaType(value)?.essence : undefined;
}
