/**
 * Serving's kinds as CustomResourceDefinitions: names, columns and categories as upstream's (v1.23), so that `kubectl get ksvc` and the `kn` client find what they know.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { autoscalingInternalGroup, dataPlaneGroup, networkingInternalGroup, servingGroup } from "#serving/names.ts";
import { factsSchema } from "./facts-schema.ts";
import {
  clusterDomainClaimSchema,
  configurationSchema,
  dataPlaneSchema,
  domainMappingSchema,
  ingressSchema,
  type KindSchema,
  podAutoscalerSchema,
  revisionSchema,
  routeSchema,
  serviceSchema,
} from "./schemas.ts";

type Column = { readonly name: string; readonly type: string; readonly jsonPath: string };

/** What is particular to one kind. */
type Kind = {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly columns: readonly Column[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly isClusterScoped?: boolean;
  readonly schema: KindSchema;
};

const text = (name: string, jsonPath: string): Column => ({ name, type: "string", jsonPath });
const count = (name: string, jsonPath: string): Column => ({ name, type: "integer", jsonPath });

const ready: readonly Column[] = [
  text("Ready", ".status.conditions[?(@.type=='Ready')].status"),
  text("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
];
const url = text("URL", ".status.url");
const latest: readonly Column[] = [
  text("LatestCreated", ".status.latestCreatedRevisionName"),
  text("LatestReady", ".status.latestReadyRevisionName"),
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
  return [...servingKinds(podSpec), ...internalKinds()].map(definition);
}

function servingKinds(podSpec: JsonSchemaProps): readonly Kind[] {
  const v1 = { group: servingGroup, version: "v1", categories: serving };
  return [
    {
      ...v1,
      kind: "Service",
      plural: "services",
      shortNames: ["kservice", "ksvc"],
      columns: [url, ...latest, ...ready],
      labels: { ...addressable, ...podSpecable },
      schema: serviceSchema(podSpec),
    },
    {
      ...v1,
      kind: "Configuration",
      plural: "configurations",
      shortNames: ["config", "cfg"],
      columns: [...latest, ...ready],
      labels: podSpecable,
      schema: configurationSchema(podSpec),
    },
    {
      ...v1,
      kind: "Revision",
      plural: "revisions",
      shortNames: ["rev"],
      columns: [
        text("Config Name", ".metadata.labels['serving\\.knative\\.dev/configuration']"),
        text("Generation", ".metadata.labels['serving\\.knative\\.dev/configurationGeneration']"),
        ...ready,
        count("Actual Replicas", ".status.actualReplicas"),
        count("Desired Replicas", ".status.desiredReplicas"),
      ],
      schema: revisionSchema(podSpec),
    },
    {
      ...v1,
      kind: "Route",
      plural: "routes",
      shortNames: ["rt"],
      columns: [url, ...ready],
      labels: addressable,
      schema: routeSchema(),
    },
    {
      ...v1,
      version: "v1beta1",
      kind: "DomainMapping",
      plural: "domainmappings",
      shortNames: ["dm"],
      columns: [url, ...ready],
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
      columns: [count("DesiredScale", ".status.desiredScale"), count("ActualScale", ".status.actualScale"), ...ready],
      schema: podAutoscalerSchema(),
    },
    {
      group: networkingInternalGroup,
      version: "v1alpha1",
      kind: "Ingress",
      plural: "ingresses",
      shortNames: ["kingress", "king"],
      categories: internal,
      columns: [...ready],
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
      columns: [text("Addresses", ".spec.addresses"), count("Port", ".spec.httpPort")],
      isClusterScoped: true,
      schema: dataPlaneSchema(),
    },
  ];
}

function definition(kind: Kind): KubeObject {
  const { group, version, plural, columns } = kind;
  const object = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      labels: { "app.kubernetes.io/name": "knative-serving", "knative.dev/crd-install": "true", ...kind.labels },
    },
    spec: {
      group,
      names: {
        kind: kind.kind,
        plural,
        singular: kind.kind.toLowerCase(),
        categories: kind.categories,
        ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
      },
      scope: kind.isClusterScoped ? "Cluster" : "Namespaced",
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          ...(columns.length === 0 ? {} : { additionalPrinterColumns: columns }),
          schema: {
            openAPIV3Schema: { type: "object", properties: { spec: kind.schema.spec, status: kind.schema.status } },
          },
        },
      ],
    },
  };
  return object as KubeObject;
}
