/**
 * Schemas of Serving's own parts of objects. Types as in upstream's `config/core/300-resources` (v1.23); our words where there are words.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { KindSchema } from "#knative/crds/definition.ts";
import {
  address,
  boolean,
  duckStatus,
  int32,
  int64,
  list,
  object,
  reference,
  string,
  stringMap,
} from "#knative/crds/schema-parts.ts";

const trafficTarget = object({
  configurationName: string,
  latestRevision: boolean,
  percent: int64,
  revisionName: string,
  tag: string,
  url: string,
});

const containerStatuses = list(object({ name: string, imageDigest: string }));

/** A revision's spec: the pod's, and Serving's fields. */
function revisionSpec(podSpec: JsonSchemaProps): JsonSchemaProps {
  return {
    ...podSpec,
    required: ["containers"],
    properties: {
      ...podSpec.properties,
      containerConcurrency: int64,
      timeoutSeconds: int64,
      responseStartTimeoutSeconds: int64,
      idleTimeoutSeconds: int64,
    },
  };
}

function template(podSpec: JsonSchemaProps): JsonSchemaProps {
  const metadata = object({
    annotations: stringMap,
    labels: stringMap,
    finalizers: list(string),
    name: string,
    namespace: string,
  });
  return object({ metadata, spec: revisionSpec(podSpec) });
}

const configurationStatus = { latestCreatedRevisionName: string, latestReadyRevisionName: string } as const;
const routeStatus = { url: string, address, traffic: list(trafficTarget) } as const;

export function serviceSchema(podSpec: JsonSchemaProps): KindSchema {
  return {
    spec: object({ template: template(podSpec), traffic: list(trafficTarget) }),
    status: object({ ...duckStatus, ...configurationStatus, ...routeStatus }),
  };
}

export function configurationSchema(podSpec: JsonSchemaProps): KindSchema {
  return {
    spec: object({ template: template(podSpec) }),
    status: object({ ...duckStatus, ...configurationStatus }),
  };
}

export function revisionSchema(podSpec: JsonSchemaProps): KindSchema {
  return {
    spec: revisionSpec(podSpec),
    status: object({
      ...duckStatus,
      actualReplicas: int32,
      desiredReplicas: int32,
      containerStatuses,
      initContainerStatuses: containerStatuses,
      logUrl: string,
    }),
  };
}

export function routeSchema(): KindSchema {
  return {
    spec: object({ traffic: list(trafficTarget) }),
    status: object({ ...duckStatus, ...routeStatus }),
  };
}

export function domainMappingSchema(): KindSchema {
  return {
    spec: object(
      {
        ref: { ...reference, required: ["kind", "name"] },
        tls: object({ secretName: string }, "secretName"),
      },
      "ref",
    ),
    status: object({ ...duckStatus, url: string, address }),
  };
}

const number: JsonSchemaProps = { type: "number" };
const quantiles = { p50Ms: number, p99Ms: number };
const coldStartTimes = {
  time: string,
  totalMs: number,
  decisionMs: number,
  scheduleMs: number,
  startMs: number,
  readyMs: number,
  firstByteMs: number,
};
const coldStart = object(coldStartTimes);

export function podAutoscalerSchema(): KindSchema {
  return {
    spec: object(
      {
        containerConcurrency: int64,
        protocolType: string,
        reachability: string,
        scaleTargetRef: object({ apiVersion: string, kind: string, name: string }),
      },
      "protocolType",
      "scaleTargetRef",
    ),
    status: object({
      ...duckStatus,
      actualScale: int32,
      desiredScale: int32,
      serviceName: string,
      metricsServiceName: string,
      coldStarts: object({
        count: int64,
        ...quantiles,
        parts: list(object({ part: string, ...quantiles }, "part")),
        last: coldStart,
      }),
    }),
  };
}

const loadBalancer = object({
  ingress: list(object({ domain: string, domainInternal: string, ip: string, meshOnly: boolean })),
});

export function ingressSchema(): KindSchema {
  const split = object(
    {
      appendHeaders: stringMap,
      percent: int64,
      serviceName: string,
      serviceNamespace: string,
      servicePort: { anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true },
    },
    "serviceName",
    "serviceNamespace",
    "servicePort",
  );
  const header: JsonSchemaProps = {
    type: "object",
    additionalProperties: object({ exact: string }, "exact"),
  };
  const path = object(
    { appendHeaders: stringMap, headers: header, path: string, rewriteHost: string, splits: list(split) },
    "splits",
  );
  const rule = object({ hosts: list(string), visibility: string, http: object({ paths: list(path) }, "paths") });
  const tls = object({ hosts: list(string), secretName: string, secretNamespace: string });
  return {
    spec: object({ httpOption: string, rules: list(rule), tls: list(tls) }),
    status: object({ ...duckStatus, publicLoadBalancer: loadBalancer, privateLoadBalancer: loadBalancer }),
  };
}

export function clusterDomainClaimSchema(): KindSchema {
  return { spec: object({ namespace: string }, "namespace"), status: object({}) };
}

export function dataPlaneSchema(): KindSchema {
  const report = object(
    { namespace: string, name: string, concurrency: number, requests: number, queued: number },
    "namespace",
    "name",
  );
  return {
    spec: object({
      addresses: list(string),
      httpPort: int32,
      peer: object({ address: string, port: int32 }, "address", "port"),
    }),
    status: object({
      reportTime: string,
      revisions: list(report),
      coldStarts: list(object({ namespace: string, name: string, ...coldStartTimes })),
    }),
  };
}
