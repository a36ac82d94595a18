/**
 * The Knative Service that a Function with an image stands for.
 */
import { controllerReference } from "#apimachinery/owner-references.ts";
import { compareQuantities, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import type { FunctionObject, FunctionScale, FunctionSpec } from "#api/nodeless/function.ts";
import type { KnativeService } from "#functions/kinds.ts";
import { alivePath, timeoutVariable } from "#functions/runtimes/handler.ts";

/** Marks what belongs to a function, down to its pods. */
export const functionLabel = "nodeless.dev/function";

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";
const port = 8080;
/** Its image is near: what does not listen by then never will, and whoever deploys still waits. Upstream's ten minutes are for pulls. */
const progressDeadline = { "serving.knative.dev/progress-deadline": "180s" };
const autoscaling = "autoscaling.knative.dev";
/** As upstream's config-defaults. */
const defaultTimeoutSeconds = 300;
const probePeriodSeconds = 10;
const probeTimeoutSeconds = 5;
/** What code gets that asks for nothing: bounds that most do with, and little that is kept for it, since many are awake at once. */
const defaultResources = {
  isolate: { limit: "256Mi", request: "16Mi" },
  node: { limit: "512Mi", request: "64Mi" },
  python: { limit: "512Mi", request: "32Mi" },
  container: { limit: undefined, request: "32Mi" },
} as const;
const defaultCpuRequest = "25m";

/** What it shall be. `image` names the code by its digest. */
export function serviceOf(fn: FunctionObject, image: string): KnativeService {
  const { name = "", namespace, labels, annotations } = fn.metadata ?? {};
  const { scale, traffic = [] } = fn.spec ?? {};
  const { [lastApplied]: _, ...passed } = annotations ?? {};
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Service",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, [functionLabel]: name },
      annotations: passed,
      ownerReferences: [controllerReference(fn)],
    },
    spec: {
      template: {
        metadata: {
          labels: { [functionLabel]: name },
          annotations: { ...progressDeadline, ...scaleAnnotations(scale) },
        },
        spec: revisionSpec(fn.spec ?? {}, image),
      },
      ...(traffic.length === 0 ? {} : { traffic: traffic.map(targetOf) }),
    },
  };
}

function targetOf<T extends { readonly revisionName?: string; readonly latestRevision?: boolean }>(target: T): T {
  return target.revisionName === undefined ? { ...target, latestRevision: true } : target;
}

function scaleAnnotations(scale: FunctionScale = {}): Readonly<Record<string, string>> {
  const { min, max, initial, target, window } = scale;
  const given = { "min-scale": min, "max-scale": max, "initial-scale": initial, target, window };
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) =>
      value === undefined ? [] : [[`${autoscaling}/${key}`, String(value)]],
    ),
  );
}

function revisionSpec(spec: FunctionSpec, image: string): object {
  const {
    runtime = "isolate",
    timeoutSeconds,
    concurrency,
    serviceAccountName,
    env = [],
    envFrom = [],
    secrets = [],
  } = spec;
  const from = [...envFrom, ...secrets.map((name) => ({ secretRef: { name } }))];
  const hasShim = runtime !== "container" && spec.source?.image === undefined;
  // Upstream's default needs no saying.
  const patience =
    hasShim && timeoutSeconds !== undefined ? [{ name: timeoutVariable, value: String(timeoutSeconds) }] : [];
  const variables = [...env.filter(({ name }) => !patience.some((own) => own.name === name)), ...patience];
  return {
    ...(runtime === "isolate" ? { runtimeClassName: "isolate" } : {}),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(concurrency === undefined ? {} : { containerConcurrency: concurrency }),
    ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
    containers: [
      {
        image,
        ports: [{ containerPort: port }],
        ...(variables.length === 0 ? {} : { env: variables }),
        ...(from.length === 0 ? {} : { envFrom: from }),
        resources: withDefaults(spec),
        ...(hasShim ? { livenessProbe: livenessProbe(timeoutSeconds ?? defaultTimeoutSeconds) } : {}),
      },
    ],
  };
}

/** What never gives its turn back is started anew, but not sooner than whoever asked was told that it took too long. */
function livenessProbe(timeoutSeconds: number): object {
  return {
    httpGet: { path: alivePath },
    periodSeconds: probePeriodSeconds,
    timeoutSeconds: probeTimeoutSeconds,
    failureThreshold: Math.ceil(timeoutSeconds / probePeriodSeconds) + 1,
  };
}

/** Kubernetes would keep as much as may be used, where nothing is said of what is to be kept. */
function withDefaults({ runtime = "isolate", resources = {} }: FunctionSpec): object {
  const { limit, request } = defaultResources[runtime];
  const limits: Readonly<Record<string, string>> = {
    ...(limit === undefined ? {} : { memory: limit }),
    ...resources.limits,
  };
  const requests = {
    cpu: smaller(defaultCpuRequest, limits["cpu"]),
    memory: smaller(request, limits["memory"]),
    ...resources.requests,
  };
  return { ...resources, requests, ...(Object.keys(limits).length === 0 ? {} : { limits }) };
}

function smaller(wanted: string, bound: string | number | undefined): string | number {
  if (bound === undefined || !isQuantity(bound)) return wanted;
  return compareQuantities(parseQuantity(bound), parseQuantity(wanted)) < 0 ? bound : wanted;
}
