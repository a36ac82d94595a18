/**
 * When an object that was applied is what it should be, by its status. Kinds that say nothing of it are ready at once.
 */
import { conditionOf, type FunctionObject } from "#api/nodeless/function.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { endOf, FunctionFailed } from "#client/nodeless/follow-function.ts";

export type Verdict =
  | { readonly isReady: true }
  | { readonly isReady: false /** It will not become ready. */; readonly failure?: string; readonly waitsFor: string };

type Condition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
};

/** Any object with what is looked at here. */
export type Watched = KubeObject & {
  readonly spec?: { readonly replicas?: number; readonly suspend?: boolean };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly readyReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
    readonly currentRevision?: string;
    readonly updateRevision?: string;
  };
};

const ready: Verdict = { isReady: true };
/** Groups whose objects have a Ready condition that means what it says. */
const withReady = /^(?:.*\.)?(?:knative\.dev|nodeless\.dev)$/;

/** Kinds that are waited for: "Deployment.apps". */
export function isWaitedFor(kind: string): boolean {
  const [name = "", ...group] = kind.split(".");
  if (withReady.test(group.join("."))) return name !== "Repository";
  return ["Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "Job.batch"].includes(kind);
}

export function verdictOf(kind: string, object: Watched): Verdict {
  const { metadata, status } = object;
  if (kind === "Job.batch") return ofJob(object);
  if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return waiting("to be seen by its controller");
  if (kind === "Deployment.apps") return ofDeployment(object);
  if (kind === "StatefulSet.apps") return ofStatefulSet(object);
  if (kind === "DaemonSet.apps") return ofDaemonSet(object);
  if (kind === "Function.nodeless.dev") return ofFunction(object as FunctionObject);
  const condition = findCondition(object, "Ready");
  if (condition?.status === "True") return ready;
  return condition?.status === "False" ? failed(condition) : waiting(condition?.message ?? "to be ready");
}

function ofDeployment(object: Watched): Verdict {
  const { spec, status } = object;
  const wanted = spec?.replicas ?? 1;
  const progressing = findCondition(object, "Progressing");
  if (progressing?.reason === "ProgressDeadlineExceeded") return failed(progressing);
  const { updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = status ?? {};
  if (updatedReplicas < wanted) return waiting(`${updatedReplicas} of ${wanted} new replicas are there`);
  if (replicas > updatedReplicas) return waiting(`${replicas - updatedReplicas} old replicas are still there`);
  if (availableReplicas < updatedReplicas) return waiting(`${availableReplicas} of ${wanted} replicas are available`);
  return ready;
}

function ofStatefulSet({ spec, status }: Watched): Verdict {
  const wanted = spec?.replicas ?? 1;
  const { readyReplicas = 0, updatedReplicas = 0, currentRevision, updateRevision } = status ?? {};
  if (readyReplicas < wanted) return waiting(`${readyReplicas} of ${wanted} replicas are ready`);
  if (currentRevision !== updateRevision) return waiting(`${updatedReplicas} of ${wanted} replicas are new`);
  return ready;
}

function ofDaemonSet({ status }: Watched): Verdict {
  const { desiredNumberScheduled: wanted = 0, updatedNumberScheduled = 0, numberAvailable = 0 } = status ?? {};
  if (updatedNumberScheduled < wanted) return waiting(`${updatedNumberScheduled} of ${wanted} new pods are there`);
  if (numberAvailable < wanted) return waiting(`${numberAvailable} of ${wanted} pods are available`);
  return ready;
}

function ofJob(object: Watched): Verdict {
  const broken = findCondition(object, "Failed");
  if (broken?.status === "True") return failed(broken);
  if (findCondition(object, "Complete")?.status === "True" || object.spec?.suspend === true) return ready;
  return waiting("to be complete");
}

function ofFunction(fn: FunctionObject): Verdict {
  try {
    if (endOf(fn) !== undefined) return ready;
    const { status, message } = conditionOf(fn, "Ready") ?? {};
    // Of one that is built anew, it still tells of what ran before.
    return waiting(status === "False" ? "to be built" : (message ?? "to be ready"));
  } catch (error) {
    if (!(error instanceof FunctionFailed)) throw error;
    return { isReady: false, failure: error.message, waitsFor: "" };
  }
}

function findCondition({ status }: Watched, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

function failed({ reason = "", message = "" }: Condition): Verdict {
  return { isReady: false, failure: [reason, message].filter(Boolean).join(": "), waitsFor: "" };
}

function waiting(waitsFor: string): Verdict {
  return { isReady: false, waitsFor };
}
