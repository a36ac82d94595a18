/**
 * The Deployment and the PodAutoscaler that a Revision stands for. As upstream's `pkg/reconciler/revision/resources` (v1.23), without its queue proxy: counting, limits and
 * timeouts are the node's engine's, probes the node agent's.
 */
import { createHash } from "node:crypto";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Container, PodSpec, Probe } from "#api/generated/types/core-v1.ts";
import { findDurationMs } from "#apimachinery/duration.ts";
import { childName, findAnnotation } from "#knative/names.ts";
import { ownedMeta, without } from "#knative/objects.ts";
import type { ServingConfig } from "#serving/config/config-store.ts";
import type { PodAutoscaler, Reachability, Revision, RevisionSpec } from "#serving/kinds.ts";
import {
  annotations as keys,
  autoscalingGroup,
  labels,
  progressDeadline,
  scaling,
  userPortName,
} from "#serving/names.ts";

const defaultPort = 8080;
/** Tells which edition of the Deployment is installed; another means an update. */
const hashLabel = "serving.knative.dev/deployment-hash";

/** Not handed down to pods: what says how the revision is routed. */
const ownLabels: readonly string[] = [labels.route, labels.routingState];
const ownAnnotations: readonly string[] = [
  "serving.knative.dev/lastPinned",
  keys.noGc,
  keys.routingStateModified,
  keys.routes,
];

/** Name of a revision's Deployment. */
export function deploymentName({ metadata }: Revision): string {
  return childName(metadata?.name ?? "", "-deployment");
}

/** "h2c" when the user's port is named so. */
export function protocolOf({ spec }: Revision): "http1" | "h2c" {
  return userContainer(spec)?.ports?.[0]?.name === "h2c" ? "h2c" : "http1";
}

/** The container that takes requests: the only one, or the one with a port. */
function userContainer(spec: RevisionSpec | undefined): Container | undefined {
  const containers = spec?.containers ?? [];
  return containers.find(({ ports }) => (ports ?? []).length > 0) ?? containers[0];
}

function userPort(spec: RevisionSpec | undefined): number {
  return userContainer(spec)?.ports?.[0]?.containerPort || defaultPort;
}

/** Labels of all that belongs to a revision. */
function labelsOf({ metadata }: Revision): Readonly<Record<string, string>> {
  const { name = "", uid = "" } = metadata ?? {};
  return {
    [labels.app]: name,
    ...without(metadata?.labels, (key) => ownLabels.includes(key)),
    [labels.revision]: name,
    [labels.revisionUid]: uid,
  };
}

/** What finds a revision's pods. */
export function podSelector({ metadata }: Revision): Readonly<Record<string, string>> {
  return { [labels.revisionUid]: metadata?.uid ?? "" };
}

/** The Deployment, at its initial scale. */
export function deploymentOf(revision: Revision, config: ServingConfig): Deployment {
  const isOwn = (key: string) => ownAnnotations.includes(key);
  const annotations = without(revision.metadata?.annotations, (key) => isOwn(key) || key.startsWith(autoscalingGroup));
  const container = userContainer(revision.spec)?.name;
  const forPods = container === undefined ? {} : { "kubectl.kubernetes.io/default-container": container };
  const own = labelsOf(revision);
  const spec = {
    selector: { matchLabels: podSelector(revision) },
    progressDeadlineSeconds: progressDeadlineSeconds(revision, config),
    revisionHistoryLimit: 0,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0 } },
    template: {
      metadata: { labels: own, annotations: { ...annotations, ...forPods } },
      spec: podSpecOf(revision),
    },
  };
  const hash = createHash("sha256")
    .update(JSON.stringify([spec, own, annotations]))
    .digest("hex")
    .slice(0, 10);
  const name = deploymentName(revision);
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: ownedMeta(revision, { name, labels: { ...own, [hashLabel]: hash }, annotations }),
    spec: { ...spec, replicas: initialReplicas(revision, config) },
  } as Deployment;
}

/** True when the Deployment is of another edition than the one wanted. */
export function isOutdated(found: Deployment, wanted: Deployment): boolean {
  return found.metadata?.labels?.[hashLabel] !== wanted.metadata?.labels?.[hashLabel];
}

function initialReplicas({ metadata }: Revision, { autoscaler }: ServingConfig): number {
  const given = findAnnotation(metadata?.annotations, scaling.initialScale)?.value;
  return given === undefined ? autoscaler.initialScale : Number(given);
}

function progressDeadlineSeconds({ metadata }: Revision, { deployment }: ServingConfig): number {
  const given = findAnnotation(metadata?.annotations, progressDeadline)?.value ?? "";
  return Math.round((findDurationMs(given) ?? deployment.progressDeadlineMs) / 1000);
}

/** The revision's pod: its containers with what Serving promises them. */
function podSpecOf(revision: Revision): PodSpec {
  const {
    containerConcurrency: _concurrency,
    timeoutSeconds,
    responseStartTimeoutSeconds: _start,
    idleTimeoutSeconds: _idle,
    ...pod
  } = revision.spec ?? { containers: [] };
  const port = userPort(revision.spec);
  const user = userContainer(revision.spec);
  const digests = revision.status?.containerStatuses ?? [];
  const containers = (revision.spec?.containers ?? []).map((container, index) => {
    const image = digests[index]?.imageDigest || container.image;
    const withImage = image === undefined ? container : { ...container, image };
    return container === user ? servingContainer(withImage, port, revision) : helperContainer(withImage, revision);
  });
  return {
    ...pod,
    containers,
    // Requests under way are given the time they may take.
    ...(timeoutSeconds === undefined ? {} : { terminationGracePeriodSeconds: timeoutSeconds }),
  };
}

function servingContainer(container: Container, port: number, revision: Revision): Container {
  const common = helperContainer(
    { ...container, env: [...(container.env ?? []), { name: "PORT", value: String(port) }] },
    revision,
  );
  const { livenessProbe, startupProbe, readinessProbe } = container;
  return {
    ...common,
    ports: [{ name: userPortName, containerPort: port, protocol: "TCP" }],
    ...(livenessProbe === undefined ? {} : { livenessProbe: withPort(livenessProbe, port) }),
    ...(startupProbe === undefined ? {} : { startupProbe: withPort(startupProbe, port) }),
    readinessProbe: readiness(readinessProbe, port),
  };
}

function helperContainer(container: Container, { metadata }: Revision): Container {
  const own = metadata?.labels;
  const env = [
    { name: "K_REVISION", value: metadata?.name ?? "" },
    { name: "K_CONFIGURATION", value: own?.[labels.configuration] ?? "" },
    { name: "K_SERVICE", value: own?.[labels.service] ?? "" },
  ];
  return {
    ...container,
    env: [...(container.env ?? []), ...env],
    terminationMessagePolicy: container.terminationMessagePolicy || "FallbackToLogsOnError",
  };
}

function withPort(probe: Probe, port: number): Probe {
  const { httpGet, tcpSocket, grpc } = probe;
  return {
    ...probe,
    ...(httpGet === undefined ? {} : { httpGet: { ...httpGet, port: httpGet.port || port } }),
    ...(tcpSocket === undefined ? {} : { tcpSocket: { ...tcpSocket, port: tcpSocket.port || port } }),
    ...(grpc === undefined ? {} : { grpc: { ...grpc, port: grpc.port || port } }),
  };
}

/** A probe without a period is Knative's: as soon and as often as it can be had. Kubernetes' shortest period is a second. */
function readiness(probe: Probe | undefined, port: number): Probe {
  const given = withPort(probe ?? { tcpSocket: { port } }, port);
  const handler = [given.httpGet, given.tcpSocket, given.exec, given.grpc].some((one) => one !== undefined);
  const handled = handler ? given : { ...given, tcpSocket: { port } };
  return handled.periodSeconds ? handled : { ...handled, periodSeconds: 1 };
}

/** The PodAutoscaler. */
export function podAutoscalerOf(revision: Revision, deployment: Deployment): PodAutoscaler {
  const isOwn = (key: string) => ownAnnotations.includes(key);
  const { name = "", annotations } = revision.metadata ?? {};
  return {
    apiVersion: "autoscaling.internal.knative.dev/v1alpha1",
    kind: "PodAutoscaler",
    metadata: ownedMeta(revision, {
      name,
      labels: labelsOf(revision),
      annotations: without(annotations, isOwn),
    }),
    spec: {
      containerConcurrency: revision.spec?.containerConcurrency ?? 0,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: deploymentName(revision) },
      protocolType: protocolOf(revision),
      reachability: reachabilityOf(revision, deployment),
    },
  };
}

/** Routed revisions keep their least scale; what cannot start, or is not routed any more, need not be kept. */
function reachabilityOf({ metadata, status }: Revision, { spec, status: deployed }: Deployment): Reachability {
  const isBroken = (status?.conditions ?? []).some(
    (condition) => ["ResourcesAvailable", "ContainerHealthy"].includes(condition.type) && condition.status === "False",
  );
  if (isBroken && (spec?.replicas ?? 0) > 0 && !deployed?.readyReplicas) return "Unreachable";
  const state = metadata?.labels?.[labels.routingState];
  return state === "active" ? "Reachable" : state === "reserve" ? "Unreachable" : "";
}
