/**
 * Serving's kinds as CustomResourceDefinitions: names, columns and categories as upstream's (v1.23), so that `kubectl get ksvc` and the `kn` client find what they know.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { type Column, countColumn, definition, type Kind, readyColumns, textColumn } from "#knative/crds/definition.ts";
import {
  autoscalingInternalGroup,
  dataPlaneGroup,
  networkingInternalGroup,
  servingGroup,
  servingNamespace,
} from "#serving/names.ts";
import { factsSchema } from "./facts-schema.ts";
import {
  clusterDomainClaimSchema,
  configurationSchema,
  dataPlaneSchema,
  domainMappingSchema,
  ingressSchema,
  podAutoscalerSchema,
  revisionSchema,
  routeSchema,
  serviceSchema,
} from "./schemas.ts";

const url = textColumn("URL", ".status.url");
const latest: readonly Column[] = [
  textColumn("LatestCreated", ".status.latestCreatedRevisionName"),
  textColumn("LatestReady", ".status.latestReadyRevisionName"),
];
const serving = ["all", "knative", "serving"];
const internal = ["knative-internal", "networking"];
const podSpecable = { "duck.knative.dev/podspecable": "true" };
const addressable = { "duck.knative.dev/addressable": "true" };

/** All definitions. Made when they are to be installed: the pod specification's schema is large. */
export function customResourceDefinitions(facts: KindFacts): readonly KubeObject[] {
  const struct = facts.structOf("io.k8s.api.core.v1.PodSpec");
  if (struct === undefined) throw new Error("the facts of core/v1 have no PodSpec");
  const podSpec = factsSchema(struct);
  return [...servingKinds(podSpec), ...internalKinds()].map((kind) => definition(kind, servingNamespace));
}

function servingKinds(podSpec: JsonSchemaProps): readonly Kind[] {
  const v1 = { group: servingGroup, version: "v1", categories: serving };
  return [
    {
      ...v1,
      kind: "Service",
      plural: "services",
      shortNames: ["kservice", "ksvc"],
      columns: [url, ...latest, ...readyColumns],
      labels: { ...addressable, ...podSpecable },
      schema: serviceSchema(podSpec),
    },
    {
      ...v1,
      kind: "Configuration",
      plural: "configurations",
      shortNames: ["config", "cfg"],
      columns: [...latest, ...readyColumns],
      labels: podSpecable,
      schema: configurationSchema(podSpec),
    },
    {
      ...v1,
      kind: "Revision",
      plural: "revisions",
      shortNames: ["rev"],
      columns: [
        textColumn("Config Name", ".metadata.labels['serving\\.knative\\.dev/configuration']"),
        textColumn("Generation", ".metadata.labels['serving\\.knative\\.dev/configurationGeneration']"),
        ...readyColumns,
        countColumn("Actual Replicas", ".status.actualReplicas"),
        countColumn("Desired Replicas", ".status.desiredReplicas"),
      ],
      schema: revisionSchema(podSpec),
    },
    {
      ...v1,
      kind: "Route",
      plural: "routes",
      shortNames: ["rt"],
      columns: [url, ...readyColumns],
      labels: addressable,
      schema: routeSchema(),
    },
    {
      ...v1,
      version: "v1beta1",
      kind: "DomainMapping",
      plural: "domainmappings",
      shortNames: ["dm"],
      columns: [url, ...readyColumns],
      schema: domainMappingSchema(),
    },
  ];
}

function internalKinds(): readonly Kind[] {
  return [
    {
      group: autoscalingInternalGroup,
      version: "v1alpha1",
      kind: "PodAutoscaler",
      plural: "podautoscalers",
      shortNames: ["kpa", "pa"],
      categories: ["knative-internal", "autoscaling"],
      columns: [
        countColumn("DesiredScale", ".status.desiredScale"),
        countColumn("ActualScale", ".status.actualScale"),
        ...readyColumns,
      ],
      schema: podAutoscalerSchema(),
    },
    {
      group: networkingInternalGroup,
      version: "v1alpha1",
      kind: "Ingress",
      plural: "ingresses",
      shortNames: ["kingress", "king"],
      categories: internal,
      columns: [...readyColumns],
      schema: ingressSchema(),
    },
    {
      group: networkingInternalGroup,
      version: "v1alpha1",
      kind: "ClusterDomainClaim",
      plural: "clusterdomainclaims",
      shortNames: ["cdc"],
      categories: internal,
      columns: [],
      isClusterScoped: true,
      schema: clusterDomainClaimSchema(),
    },
    {
      group: dataPlaneGroup,
      version: "v1alpha1",
      kind: "DataPlane",
      plural: "dataplanes",
      shortNames: [],
      categories: [],
      columns: [textColumn("Addresses", ".spec.addresses"), countColumn("Port", ".spec.httpPort")],
      isClusterScoped: true,
      schema: dataPlaneSchema(),
    },
  ];
}
