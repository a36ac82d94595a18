/**
 * Schemas of Serving's own parts of objects. Types as in upstream's `config/core/300-resources` (v1.23); our words where there are words.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { KindSchema } from "#knative/crds/definition.ts";
import {
  address,
  boolean,
  described,
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
  configurationName: described("The Configuration whose newest ready revision gets it. In Routes only.", string),
  latestRevision: described(
    "True: whatever revision is newest and ready gets it, and no revisionName is given.",
    boolean,
  ),
  percent: described("Its share, from 0 to 100; all shares together are 100.", int64),
  revisionName: described("The revision that gets it.", string),
  tag: described(
    "A name of its own: TAG-NAME.NAMESPACE.DOMAIN leads to this revision alone, whatever its share.",
    string,
  ),
  url: described("Where its tag answers. Filled in by Serving.", string),
});
const traffic = described(
  "How requests are shared among revisions. Absent: all go to the newest that is ready.",
  list(trafficTarget),
);
const trafficNow = described("How requests are shared now.", list(trafficTarget));

const containerStatuses = described(
  "Containers with the digests of their images.",
  list(object({ name: string, imageDigest: string })),
);

/** A revision's spec: the pod's, and Serving's fields. */
function revisionSpec(podSpec: JsonSchemaProps): JsonSchemaProps {
  return {
    ...podSpec,
    required: ["containers"],
    properties: {
      ...podSpec.properties,
      containerConcurrency: described(
        "Most requests at once in one pod; others wait, or more pods are made. 0: no bound.",
        int64,
      ),
      timeoutSeconds: described("How long a request may take until its answer begins; then 504. Default: 300.", int64),
      responseStartTimeoutSeconds: described("How long the first byte of an answer may take.", int64),
      idleTimeoutSeconds: described("How long an answer may be silent once it has begun.", int64),
    },
  };
}

function template(podSpec: JsonSchemaProps): JsonSchemaProps {
  const metadata = object({
    annotations: described(
      "Settings of the autoscaler among them: autoscaling.knative.dev/min-scale, max-scale, target, window.",
      stringMap,
    ),
    labels: described("Labels of the revision, and of its pods.", stringMap),
    finalizers: list(string),
    name: described("The revision's name: NAME-SUFFIX. Absent: NAME-00001, NAME-00002, and so on.", string),
    namespace: string,
  });
  return described(
    "What the next revision is. Each change makes a new one; those that are there stay as they are.",
    object({
      metadata: described("Name, labels and annotations of the revision.", metadata),
      spec: described("Its containers, and how requests come to them.", revisionSpec(podSpec)),
    }),
  );
}

const configurationStatus = {
  latestCreatedRevisionName: described("The newest revision.", string),
  latestReadyRevisionName: described("The newest revision that can answer.", string),
} as const;
const url = described("Where it answers.", string);
const routeStatus = { url, address, traffic: trafficNow } as const;

/** Kind, spec and status with what they are for. */
function kind(description: string, spec: JsonSchemaProps, wanted: string, status: JsonSchemaProps): KindSchema {
  return { description, spec: described(wanted, spec), status: described("How it is, as Serving sees it.", status) };
}

export function serviceSchema(podSpec: JsonSchemaProps): KindSchema {
  return kind(
    "An address for code that sleeps while nobody asks.",
    object({ template: template(podSpec), traffic }),
    "The code, and which of its revisions get requests. A Service makes a Configuration and a Route of its name.",
    object({ ...duckStatus, ...configurationStatus, ...routeStatus }),
  );
}

export function configurationSchema(podSpec: JsonSchemaProps): KindSchema {
  return kind(
    "The newest form of a Service's code; a history of its revisions.",
    object({ template: template(podSpec) }),
    "The code, of which each change makes a revision.",
    object({ ...duckStatus, ...configurationStatus }),
  );
}

export function revisionSchema(podSpec: JsonSchemaProps): KindSchema {
  return kind(
    "The code of a Service at one moment.",
    revisionSpec(podSpec),
    "Its containers, and how requests come to them. Never changed: a change of the Service makes another revision.",
    object({
      ...duckStatus,
      actualReplicas: described("Pods that are there.", int32),
      desiredReplicas: described("Pods that are wanted; 0 while nobody asks.", int32),
      containerStatuses,
      initContainerStatuses: containerStatuses,
      logUrl: described("Where its logs are, if a place is configured.", string),
    }),
  );
}

export function routeSchema(): KindSchema {
  return kind(
    "The address of a Service, and which of its revisions answer there.",
    object({ traffic }),
    "Which revisions get requests.",
    object({ ...duckStatus, ...routeStatus }),
  );
}

export function domainMappingSchema(): KindSchema {
  return kind(
    "A host name of one's own for a Service.",
    object(
      {
        ref: described("What answers under this name: a Knative Service, or anything else with an address.", {
          ...reference,
          required: ["kind", "name"],
        }),
        tls: described(
          "A certificate of one's own for the name.",
          object(
            { secretName: described("A Secret of type kubernetes.io/tls, in the same namespace.", string) },
            "secretName",
          ),
        ),
      },
      "ref",
    ),
    "Where requests go that name this host: the object's own name, such as www.example.com.",
    object({ ...duckStatus, url, address }),
  );
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
