/**
 * The labels, annotations and names by which Knative Serving's objects know each other, as upstream's `pkg/apis/serving/register.go` and `pkg/apis/autoscaling/register.go` (v1.23).
 */
import type { KeyPriority } from "#knative/names.ts";

/** Group of Service, Configuration, Revision, Route, DomainMapping. */
export const servingGroup = "serving.knative.dev";

/** Group of the annotations that steer autoscaling. */
export const autoscalingGroup = "autoscaling.knative.dev";

/** Group of PodAutoscaler. */
export const autoscalingInternalGroup = "autoscaling.internal.knative.dev";

/** Group of Ingress and ClusterDomainClaim: what Serving asks of the network. */
export const networkingInternalGroup = "networking.internal.knative.dev";

/** Group of DataPlane, the one kind that upstream has nothing for. */
export const dataPlaneGroup = "nodeless.dev";

/** Where Serving's ConfigMaps live. */
export const servingNamespace = "knative-serving";

/** Labels of objects under serving.knative.dev. */
export const labels = {
  configuration: "serving.knative.dev/configuration",
  configurationGeneration: "serving.knative.dev/configurationGeneration",
  configurationUid: "serving.knative.dev/configurationUID",
  revision: "serving.knative.dev/revision",
  revisionUid: "serving.knative.dev/revisionUID",
  route: "serving.knative.dev/route",
  routeNamespace: "serving.knative.dev/routeNamespace",
  routingState: "serving.knative.dev/routingState",
  service: "serving.knative.dev/service",
  serviceUid: "serving.knative.dev/serviceUID",
  domainMappingUid: "serving.knative.dev/domainMappingUID",
  domainMappingNamespace: "serving.knative.dev/domainMappingNamespace",
  app: "app",
  /** "cluster-local": not to be reached from outside. */
  visibility: "networking.knative.dev/visibility",
  /** "Public" or "Private", on the Services in front of a revision's pods. */
  serviceType: "networking.internal.knative.dev/serviceType",
  serverlessService: "networking.internal.knative.dev/serverlessservice",
} as const;

/** Annotations under serving.knative.dev and networking.knative.dev. */
export const annotations = {
  creator: "serving.knative.dev/creator",
  lastModifier: "serving.knative.dev/lastModifier",
  routes: "serving.knative.dev/routes",
  routingStateModified: "serving.knative.dev/routingStateModified",
  noGc: "serving.knative.dev/no-gc",
  rollout: "serving.knative.dev/rollout",
  ingressClass: "networking.knative.dev/ingress.class",
  httpProtocol: "networking.knative.dev/http-protocol",
} as const;

/** What can be said of a revision's scaling. */
export type ScalingKey =
  | "class"
  | "minScale"
  | "maxScale"
  | "initialScale"
  | "activationScale"
  | "scaleDownDelay"
  | "metric"
  | "metricAggregationAlgorithm"
  | "target"
  | "targetUtilizationPercentage"
  | "targetBurstCapacity"
  | "window"
  | "panicWindowPercentage"
  | "panicThresholdPercentage"
  | "scaleToZeroPodRetentionPeriod";

/** The autoscaling annotations; each also has the camel-case spelling it had before v0.25, where it had one. */
export const scaling: Readonly<Record<ScalingKey, KeyPriority>> = {
  class: [`${autoscalingGroup}/class`],
  minScale: [`${autoscalingGroup}/min-scale`, `${autoscalingGroup}/minScale`],
  maxScale: [`${autoscalingGroup}/max-scale`, `${autoscalingGroup}/maxScale`],
  initialScale: [`${autoscalingGroup}/initial-scale`, `${autoscalingGroup}/initialScale`],
  activationScale: [`${autoscalingGroup}/activation-scale`],
  scaleDownDelay: [`${autoscalingGroup}/scale-down-delay`, `${autoscalingGroup}/scaleDownDelay`],
  metric: [`${autoscalingGroup}/metric`],
  metricAggregationAlgorithm: [
    `${autoscalingGroup}/metric-aggregation-algorithm`,
    `${autoscalingGroup}/metricAggregationAlgorithm`,
  ],
  target: [`${autoscalingGroup}/target`],
  targetUtilizationPercentage: [
    `${autoscalingGroup}/target-utilization-percentage`,
    `${autoscalingGroup}/targetUtilizationPercentage`,
  ],
  targetBurstCapacity: [`${autoscalingGroup}/target-burst-capacity`, `${autoscalingGroup}/targetBurstCapacity`],
  window: [`${autoscalingGroup}/window`],
  panicWindowPercentage: [`${autoscalingGroup}/panic-window-percentage`, `${autoscalingGroup}/panicWindowPercentage`],
  panicThresholdPercentage: [
    `${autoscalingGroup}/panic-threshold-percentage`,
    `${autoscalingGroup}/panicThresholdPercentage`,
  ],
  scaleToZeroPodRetentionPeriod: [
    `${autoscalingGroup}/scale-to-zero-pod-retention-period`,
    `${autoscalingGroup}/scaleToZeroPodRetentionPeriod`,
  ],
};

/** `serving.knative.dev/rollout-duration` and its older spelling: over how long a new revision takes the traffic over. */
export const rolloutDuration: KeyPriority = [
  "serving.knative.dev/rollout-duration",
  "serving.knative.dev/rolloutDuration",
];

/** `serving.knative.dev/progress-deadline`: how long a revision may take to become ready. */
export const progressDeadline: KeyPriority = ["serving.knative.dev/progress-deadline"];

/** The one autoscaler class we run. */
export const kpaClass = "kpa.autoscaling.knative.dev";

/** HorizontalPodAutoscaler's class: accepted in annotations as upstream's, nobody acts on it here. */
export const hpaClass = "hpa.autoscaling.knative.dev";

/** Name of the port that takes requests, in pods and in the private Service. */
export const userPortName = "user-port";
