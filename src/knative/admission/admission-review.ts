/**
 * Admission reviews (admission.k8s.io/v1): what the webhooks of Knative's parts answer to them.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { fatal, formatErrors, warnings } from "./field-error.ts";
import type { AdmissionContext, KindAdmission } from "./kind-admission.ts";

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

/** One part's kinds and configuration, as its webhooks need them. */
export type Admissions<C> = {
  /** By group, then by kind. */
  readonly kinds: Readonly<Record<string, Readonly<Record<string, KindAdmission<KubeObject, C>>>>>;
  /** The configuration of the moment. */
  readonly config: () => C;
  /** The namespace with the part's ConfigMaps, and what reads one: it throws when one makes no sense. */
  readonly configMaps: {
    readonly namespace: string;
    readonly parse: (name: string, data: Readonly<Record<string, string>> | undefined) => unknown;
  };
};

/** A part's reviewers: defaults at /defaulting, validation at /resource-validation, ConfigMaps at /config-validation. */
export function reviewersOf<C>(admissions: Admissions<C>): Reviewers {
  return {
    "/defaulting": (request) => giveDefaults(request, admissions),
    "/resource-validation": (request) => validate(request, admissions),
    "/config-validation": (request) => validateConfigMap(request, admissions),
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

/** Defaults touch spec, labels and annotations; whole values are given, since a patch of many steps says nothing more. */
function patchBetween(before: KubeObject, after: KubeObject): readonly object[] {
  const spec = (object: KubeObject): unknown => (object as { readonly spec?: unknown }).spec;
  const steps: object[] = [];
  if (!semanticEqual(spec(before), spec(after))) steps.push({ op: "add", path: "/spec", value: spec(after) });
  for (const field of ["labels", "annotations"] as const) {
    const value = after.metadata?.[field];
    if (!semanticEqual(before.metadata?.[field], value))
      steps.push({ op: "add", path: `/metadata/${field}`, value: value ?? {} });
  }
  return steps;
}

function contextOf<C>({ operation, userInfo }: ReviewRequest, { config }: Admissions<C>): AdmissionContext<C> {
  return {
    config: config(),
    operation: operation === "UPDATE" ? "UPDATE" : "CREATE",
    username: userInfo?.username ?? "",
  };
}

/** Statuses are the controllers' own affair, and what is on its way out is let go. */
function isWrite({ subResource, object, operation }: ReviewRequest): boolean {
  if (subResource || !object) return false;
  return (operation === "CREATE" || operation === "UPDATE") && object.metadata?.deletionTimestamp === undefined;
}

function findAdmission<C>({ kind }: ReviewRequest, { kinds }: Admissions<C>): KindAdmission<KubeObject, C> | undefined {
  const ofGroup = Object.hasOwn(kinds, kind.group) ? kinds[kind.group] : undefined;
  return ofGroup !== undefined && Object.hasOwn(ofGroup, kind.kind) ? ofGroup[kind.kind] : undefined;
}

function giveDefaults<C>(request: ReviewRequest, admissions: Admissions<C>): Verdict {
  const admission = findAdmission(request, admissions);
  const { object, oldObject } = request;
  if (admission === undefined || !object || !isWrite(request)) return {};
  return { object: admission.withDefaults(object, oldObject ?? undefined, contextOf(request, admissions)) };
}

function validate<C>(request: ReviewRequest, admissions: Admissions<C>): Verdict {
  const admission = findAdmission(request, admissions);
  const { object, oldObject } = request;
  if (admission === undefined || !object || !isWrite(request)) return {};
  const errors = admission.validate(object, oldObject ?? undefined, contextOf(request, admissions));
  const wrong = fatal(errors);
  const told = warnings(errors).map((error) => formatErrors([error]));
  return { warnings: told, ...(wrong.length === 0 ? {} : { refusal: `validation failed: ${formatErrors(wrong)}` }) };
}

function validateConfigMap<C>({ object }: ReviewRequest, { configMaps }: Admissions<C>): Verdict {
  if (!object || object.metadata?.namespace !== configMaps.namespace) return {};
  try {
    const { data = {} } = object as { readonly data?: Record<string, string> };
    configMaps.parse(object.metadata.name ?? "", data);
    return {};
  } catch (error) {
    return { refusal: `validation failed: ${error instanceof Error ? error.message : String(error)}` };
  }
}
