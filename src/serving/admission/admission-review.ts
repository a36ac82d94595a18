/**
 * Admission reviews (admission.k8s.io/v1): what Serving's webhooks answer to them.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { defaultServingConfig, parseConfigMap, type ServingConfig } from "#serving/config/config-store.ts";
import { servingGroup, servingNamespace } from "#serving/names.ts";
import type { AdmissionContext } from "./context.ts";
import { fatal, formatErrors, warnings } from "./field-error.ts";
import { kindAdmissions } from "./kind-admission.ts";

/** One write that is under review. */
export type ReviewRequest = {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly subResource?: string;
  readonly userInfo?: { readonly username?: string };
  readonly object?: KubeObject | null;
  readonly oldObject?: KubeObject | null;
};

export type AdmissionReview = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly request?: ReviewRequest;
};

/** What is said to a write. */
export type Verdict = {
  /** The object as it is to be; absent: unchanged. */
  readonly object?: KubeObject;
  /** Why not. */
  readonly refusal?: string;
  readonly warnings?: readonly string[];
};

/** Says something to a write. */
export type Reviewer = (request: ReviewRequest) => Verdict;

/** By the path at which they are called. */
export type Reviewers = Readonly<Record<string, Reviewer>>;

/** Serving's reviewers, which go by the configuration of the moment. */
export function servingReviewers(config: () => ServingConfig = defaultServingConfig): Reviewers {
  return {
    "/defaulting": (request) => giveDefaults(request, config()),
    "/resource-validation": (request) => validate(request, config()),
    "/config-validation": validateConfigMap,
  };
}

/** The review with its answer. */
export function answerReview(review: AdmissionReview, reviewer: Reviewer): object {
  const { request } = review;
  if (request === undefined) throw new Error("the admission review has no request");
  const { uid, object } = request;
  const verdict = reviewer(request);
  const told = verdict.warnings === undefined || verdict.warnings.length === 0 ? {} : { warnings: verdict.warnings };
  const head = { apiVersion: review.apiVersion, kind: review.kind };
  if (verdict.refusal !== undefined) {
    const status = { status: "Failure", code: 400, reason: "BadRequest", message: verdict.refusal };
    return { ...head, response: { uid, allowed: false, status, ...told } };
  }
  const patch = verdict.object === undefined ? [] : patchBetween(object ?? {}, verdict.object);
  if (patch.length === 0) return { ...head, response: { uid, allowed: true, ...told } };
  const text = Buffer.from(JSON.stringify(patch)).toString("base64");
  return { ...head, response: { uid, allowed: true, patchType: "JSONPatch", patch: text, ...told } };
}

/** Defaults touch spec and annotations; whole values are given, since a patch of many steps says nothing more. */
function patchBetween(before: KubeObject, after: KubeObject): readonly object[] {
  const spec = (object: KubeObject): unknown => (object as { readonly spec?: unknown }).spec;
  const steps: object[] = [];
  if (!semanticEqual(spec(before), spec(after))) steps.push({ op: "add", path: "/spec", value: spec(after) });
  const { annotations } = after.metadata ?? {};
  if (!semanticEqual(before.metadata?.annotations, annotations))
    steps.push({ op: "add", path: "/metadata/annotations", value: annotations ?? {} });
  return steps;
}

function contextOf({ operation, userInfo }: ReviewRequest, config: ServingConfig): AdmissionContext {
  const { defaults, features, autoscaler } = config;
  return {
    config: { defaults, features, autoscaler },
    operation: operation === "UPDATE" ? "UPDATE" : "CREATE",
    username: userInfo?.username ?? "",
  };
}

/** Statuses are the controllers' own affair, and what is on its way out is let go. */
function isOurs({ kind, subResource, object, operation }: ReviewRequest): boolean {
  if (kind.group !== servingGroup || subResource || !object) return false;
  return (operation === "CREATE" || operation === "UPDATE") && object.metadata?.deletionTimestamp === undefined;
}

function giveDefaults(request: ReviewRequest, config: ServingConfig): Verdict {
  const admission = kindAdmissions[request.kind.kind];
  const { object, oldObject } = request;
  if (admission === undefined || !object || !isOurs(request)) return {};
  return { object: admission.withDefaults(object, oldObject ?? undefined, contextOf(request, config)) };
}

function validate(request: ReviewRequest, config: ServingConfig): Verdict {
  const admission = kindAdmissions[request.kind.kind];
  const { object, oldObject } = request;
  if (admission === undefined || !object || !isOurs(request)) return {};
  const errors = admission.validate(object, oldObject ?? undefined, contextOf(request, config));
  const wrong = fatal(errors);
  const told = warnings(errors).map((error) => formatErrors([error]));
  return { warnings: told, ...(wrong.length === 0 ? {} : { refusal: `validation failed: ${formatErrors(wrong)}` }) };
}

function validateConfigMap({ object }: ReviewRequest): Verdict {
  if (!object || object.metadata?.namespace !== servingNamespace) return {};
  try {
    parseConfigMap(object.metadata.name ?? "", (object as { readonly data?: Record<string, string> }).data);
    return {};
  } catch (error) {
    return { refusal: `validation failed: ${error instanceof Error ? error.message : String(error)}` };
  }
}
