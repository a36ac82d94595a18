/**
 * Options of lists and watches, from the query: parsed, checked and completed as upstream's ListOptions. Errors carry upstream's words.
 */
import { badRequest } from "#apimachinery/status-error.ts";
import { type FieldError, forbiddenField, invalidObject, notSupported } from "#apimachinery/field-error.ts";
import {
  type FieldRequirement,
  FieldSelectorError,
  matchesFields,
  parseFieldSelector,
  requiredFieldValue,
} from "#apimachinery/field-selector.ts";
import { matchesSelector, SelectorError } from "#apimachinery/label-selector.ts";
import { parseLabelSelector, parseLabelSelectorSteps } from "#apimachinery/label-selector-parser.ts";
import type { TakeSteps } from "#apimachinery/steps.ts";
import type { Query } from "#apiserver/api-request.ts";
import { isTrue } from "#apiserver/filters/request-info.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { prefixOf } from "#apiserver/storage/stored-resource.ts";
import type { Selection } from "#apiserver/watch-cache/selection.ts";

/** Checked options. */
export type ListOptions = {
  /** What is asked for; `isUnfiltered` when no selector narrows it. */
  readonly selection: Selection;
  readonly isUnfiltered: boolean;
  /** "" when unset. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: "" | "Exact" | "NotOlderThan";
  /** 0 means no limit. */
  readonly limit: number;
  readonly continueToken: string;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  /** 0 when unset. */
  readonly timeoutSeconds: number;
};

/** Reads the options. Throws BadRequest and Invalid. */
export async function parseListOptions(
  query: Query,
  target: {
    readonly resource: ServedResource;
    readonly namespace: string;
    readonly name: string;
    readonly isWatch: boolean;
    readonly takeSteps: TakeSteps;
  },
): Promise<ListOptions> {
  const { resource, namespace, isWatch } = target;
  const filter = query.isEmpty ? everything : await parseFilter(query, target);
  const options: ListOptions = {
    selection: { prefix: prefixOf(resource.stored, namespace), ...filter },
    isUnfiltered: filter.filter === undefined,
    resourceVersion: query.get("resourceVersion") ?? "",
    resourceVersionMatch: (query.get("resourceVersionMatch") ?? "") as ListOptions["resourceVersionMatch"],
    limit: integer(query, "limit"),
    continueToken: query.get("continue") ?? "",
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: initialEvents(query),
    timeoutSeconds: integer(query, "timeoutSeconds"),
  };
  const errors = query.isEmpty ? [] : isWatch ? watchErrors(options) : listErrors(options);
  if (errors.length > 0) throw invalidObject({ group: "meta.k8s.io", kind: "ListOptions", name: "" }, errors);
  return options;
}

type Filter = Pick<Selection, "filter" | "pinned" | "key">;

const everything: Filter = { key: "" };

/** Selectors up to this many characters are parsed at once. */
const LONG_SELECTOR = 8 * 1024;

async function parseFilter(
  query: Query,
  target: { readonly resource: ServedResource; readonly name: string; readonly takeSteps: TakeSteps },
): Promise<Filter> {
  const labelSelector = query.get("labelSelector") ?? "";
  const fieldSelector = query.get("fieldSelector") ?? "";
  const labels =
    labelSelector.length > LONG_SELECTOR
      ? await target.takeSteps(parseLabelSelectorSteps(labelSelector)).catch(refuse)
      : parseOrRefuse(() => parseLabelSelector(labelSelector));
  const fields = nameChecked(
    parseOrRefuse(() => parseFieldSelector(fieldSelector)),
    target,
  );
  for (const { field } of fields) checkField(target.resource, field);
  const hasLabels = labels.requirements.length > 0 || labels.matchesNothing;
  if (!hasLabels && fields.length === 0) return everything;
  const name = requiredFieldValue(fields, "metadata.name");
  const first = fields.find(
    (requirement) => requirement.operator === "=" && requirement.field !== "metadata.namespace",
  );
  const pinned = name !== undefined ? { field: "metadata.name", value: name } : first;
  return {
    filter: (object) =>
      (!hasLabels || matchesSelector(labels, object.labels)) &&
      (fields.length === 0 || matchesFields(fields, object.fields)),
    key: JSON.stringify([labelSelector, fieldSelector, target.name, target.resource.apiVersion]),
    ...(pinned === undefined ? {} : { pinned: { field: pinned.field, value: pinned.value } }),
  };
}

// A watch of `/pods/web` is a watch of the collection with metadata.name=web.
function nameChecked(
  fields: readonly FieldRequirement[],
  target: { readonly name: string },
): readonly FieldRequirement[] {
  if (target.name === "") return fields;
  if (fields.length === 0) return [{ field: "metadata.name", operator: "=", value: target.name }];
  if (requiredFieldValue(fields, "metadata.name") === target.name) return fields;
  throw badRequest("fieldSelector metadata.name doesn't match requested name");
}

function checkField(resource: ServedResource, field: string): void {
  if (field === "metadata.name" || (field === "metadata.namespace" && resource.facts.isNamespaced)) return;
  // Upstream lets cluster-scoped kinds be selected by metadata.namespace as well: it is always "".
  if (field === "metadata.namespace") return;
  const known = resource.selectableFieldNames;
  if (known.has(field)) return;
  throw badRequest(
    known.size === 0 && !resource.isCustom
      ? `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`
      : `field label not supported: ${field}`,
  );
}

function initialEvents(query: Query): boolean | undefined {
  const asked = query.get("sendInitialEvents");
  return asked === undefined ? undefined : isTrue(asked);
}

function listErrors(options: ListOptions): readonly FieldError[] {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch;
  if (match !== "") {
    if (options.resourceVersion === "") {
      errors.push(
        forbiddenField("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
      );
    }
    if (options.continueToken !== "") {
      errors.push(
        forbiddenField("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"),
      );
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      errors.push(notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
    }
    if (match === "Exact" && options.resourceVersion === "0") {
      const why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"';
      errors.push(forbiddenField("resourceVersionMatch", why));
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(forbiddenField("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  return errors;
}

function watchErrors(options: ListOptions): readonly FieldError[] {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch;
  if (options.sendInitialEvents !== undefined && match !== "NotOlderThan") {
    const why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    errors.push(forbiddenField("resourceVersionMatch", why));
  }
  if (match === "") return errors;
  if (options.sendInitialEvents === undefined) {
    const why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
    errors.push(forbiddenField("resourceVersionMatch", why));
  }
  if (match !== "NotOlderThan") errors.push(notSupported("resourceVersionMatch", match, ["NotOlderThan"]));
  if (options.continueToken !== "") {
    errors.push(forbiddenField("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
  }
  return errors;
}

function integer(query: Query, name: string): number {
  const text = query.get(name);
  if (text === undefined || text === "") return 0;
  if (!/^-?\d{1,18}$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

function parseOrRefuse<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  if (error instanceof SelectorError || error instanceof FieldSelectorError) throw badRequest(error.message);
  throw error;
}
