/**
 * DeleteOptions, from the body or the query (a body wins), checked as upstream's ValidateDeleteOptions.
 */
import { type FieldError, invalid, invalidObject, notSupported } from "#apimachinery/field-error.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { Query } from "#apiserver/api-request.ts";
import { isTrue } from "#apiserver/filters/request-info.ts";
import { dryRunErrors } from "./write-options.ts";

/** Checked options of a delete. */
export type DeleteOptions = {
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: "Orphan" | "Background" | "Foreground" | undefined;
  readonly orphanDependents: boolean | undefined;
  readonly preconditions: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun: boolean;
};

type RawOptions = {
  readonly kind?: unknown;
  readonly gracePeriodSeconds?: unknown;
  readonly propagationPolicy?: unknown;
  readonly orphanDependents?: unknown;
  readonly preconditions?: { readonly uid?: unknown; readonly resourceVersion?: unknown } | null;
  readonly dryRun?: unknown;
};

/** Reads the options out of a decoded body, or of the query when there is none. Throws BadRequest and Invalid. */
export function parseDeleteOptions(query: Query, body: unknown): DeleteOptions {
  const raw = body === undefined || body === null ? fromQuery(query) : fromBody(body);
  const errors: FieldError[] = [];
  const { gracePeriodSeconds: grace, propagationPolicy: policy, orphanDependents: orphans } = raw;
  if (grace !== undefined && grace !== null && !Number.isInteger(grace)) {
    throw badRequest("json: cannot unmarshal into Go struct field DeleteOptions.gracePeriodSeconds of type int64");
  }
  const hasPolicy = policy !== undefined && policy !== null;
  if (hasPolicy && typeof orphans === "boolean") {
    errors.push(invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"));
  }
  if (hasPolicy && policy !== "Foreground" && policy !== "Background" && policy !== "Orphan") {
    errors.push(notSupported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]));
  }
  const dryRun = Array.isArray(raw.dryRun) ? raw.dryRun.map(String) : [];
  errors.push(...dryRunErrors(dryRun));
  if (errors.length > 0) throw invalidObject({ group: "meta.k8s.io", kind: "DeleteOptions", name: "" }, errors);
  const { uid, resourceVersion } = raw.preconditions ?? {};
  return {
    gracePeriodSeconds: typeof grace === "number" ? (grace < 0 ? 1 : grace) : undefined,
    propagationPolicy: hasPolicy ? (policy as "Orphan" | "Background" | "Foreground") : undefined,
    orphanDependents: typeof orphans === "boolean" ? orphans : undefined,
    preconditions: {
      ...(typeof uid === "string" ? { uid } : {}),
      ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
    },
    dryRun: dryRun.length > 0,
  };
}

function fromBody(body: unknown): RawOptions {
  if (typeof body !== "object" || Array.isArray(body)) throw badRequest("the body is no DeleteOptions");
  const raw = body as RawOptions;
  if (raw.kind !== undefined && raw.kind !== "DeleteOptions") {
    throw badRequest(`decoded object cannot be converted to DeleteOptions`);
  }
  return raw;
}

function fromQuery(query: Query): RawOptions {
  const grace = query.get("gracePeriodSeconds");
  const orphans = query.get("orphanDependents");
  const policy = query.get("propagationPolicy");
  if (grace !== undefined && grace !== "" && !/^-?\d{1,15}$/.test(grace)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
  }
  return {
    ...(grace === undefined || grace === "" ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(policy === undefined || policy === "" ? {} : { propagationPolicy: policy }),
    ...(orphans === undefined ? {} : { orphanDependents: isTrue(orphans) }),
    dryRun: query.getAll("dryRun").filter((value) => value !== ""),
  };
}
