import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { strategyOf } from "#api/strategies.ts";
import type { Draft } from "#api/strategy.ts";
import { imageTag } from "./image-name.ts";
import { qosClassOf } from "./pod-qos.ts";

function defaulted(group: string, kind: string, draft: Draft): Draft {
  const copy = structuredClone(draft);
  strategyOf(group, kind).applyDefaults?.(copy);
  const again = structuredClone(copy);
  strategyOf(group, kind).applyDefaults?.(again);
  assert.deepEqual(again, copy, "defaulting twice changes nothing");
  return copy;
}

test("a pod gets upstream's defaults", () => {
  const { spec } = defaulted("", "Pod", {
    spec: { containers: [{ name: "c", image: "nginx", ports: [{ containerPort: 80 }] }], volumes: [{ name: "v" }] },
  });

  assert.deepEqual(spec, {
    containers: [
      {
        name: "c",
        image: "nginx",
        ports: [{ containerPort: 80, protocol: "TCP" }],
        imagePullPolicy: "Always",
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
        resources: {},
      },
    ],
    volumes: [{ name: "v", emptyDir: {} }],
    dnsPolicy: "ClusterFirst",
    restartPolicy: "Always",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
    schedulerName: "default-scheduler",
    enableServiceLinks: true,
  });
});

test("probes, projected volumes and field references get theirs", () => {
  const container = {
    name: "c",
    image: "a:1",
    livenessProbe: { httpGet: { port: 80 } },
    env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
  };
  const volume = { name: "v", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } };

  const { spec } = defaulted("", "Pod", { spec: { containers: [container], volumes: [volume] } });

  assert.deepEqual(spec.containers[0].livenessProbe, {
    httpGet: { port: 80, path: "/", scheme: "HTTP" },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  });
  assert.equal(spec.containers[0].imagePullPolicy, "IfNotPresent");
  assert.equal(spec.containers[0].env[0].valueFrom.fieldRef.apiVersion, "v1");
  assert.deepEqual(spec.volumes[0].projected, {
    sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3600 } }],
    defaultMode: 420,
  });
});

test("requests follow limits, and host ports follow ports on the host's network", () => {
  const container = {
    name: "c",
    image: "a",
    ports: [{ containerPort: 80 }],
    resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "100m" } },
  };

  const { spec } = defaulted("", "Pod", { spec: { hostNetwork: true, containers: [container] } });

  assert.deepEqual(spec.containers[0].resources.requests, { cpu: "100m", memory: "1Gi" });
  assert.equal(spec.containers[0].ports[0].hostPort, 80);
});

test("the tag of an image is what stands behind the last colon of its last part", () => {
  assert.equal(imageTag("nginx"), "latest");
  assert.equal(imageTag("registry:5000/nginx"), "latest");
  assert.equal(imageTag("registry:5000/nginx:1.27"), "1.27");
  assert.equal(imageTag("nginx@sha256:abc"), "");
  assert.equal(imageTag("nginx:1@sha256:abc"), "1");
});

test("a pod's class follows from CPU and memory of all its containers", () => {
  const of = (...resources: readonly object[]) =>
    qosClassOf({ containers: resources.map((each) => ({ resources: each })) });
  const full = { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1000m", memory: "1Gi" } };

  assert.equal(of({}), "BestEffort");
  assert.equal(of(full), "Guaranteed");
  assert.equal(of(full, {}), "Burstable");
  assert.equal(of({ limits: { cpu: "1" } }), "Burstable");
  assert.equal(of({ requests: { "example.com/gpu": "1" } }), "BestEffort");
});

test("a new pod is pending, of its class, and says so when gates hold it back", () => {
  const draft: Draft = { spec: { containers: [], schedulingGates: [{ name: "wait" }] }, status: { phase: "Running" } };

  strategyOf("", "Pod").prepareForCreate?.(draft);

  assert.equal(draft["status"].phase, "Pending");
  assert.equal(draft["status"].qosClass, "BestEffort");
  assert.equal(draft["status"].conditions[0].reason, "SchedulingGated");
});

test("a pod is deleted with grace only when something runs", () => {
  const grace = (pod: object, asked?: number) => strategyOf("", "Pod").deletionGracePeriodSeconds?.(pod as Pod, asked);

  assert.equal(grace({ spec: {} }), 0);
  assert.equal(grace({ spec: { nodeName: "n", terminationGracePeriodSeconds: 30 } }), 30);
  assert.equal(grace({ spec: { nodeName: "n", terminationGracePeriodSeconds: 30 } }, 5), 5);
  assert.equal(
    grace({ spec: { nodeName: "n", terminationGracePeriodSeconds: 30 }, status: { phase: "Succeeded" } }),
    0,
  );
  assert.equal(grace({ spec: { nodeName: "n" } }, -1), 1);
});

test("a service gets upstream's defaults for its type", () => {
  assert.deepEqual(defaulted("", "Service", { spec: { ports: [{ port: 80 }] } })["spec"], {
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    sessionAffinity: "None",
    type: "ClusterIP",
    internalTrafficPolicy: "Cluster",
  });
  const balanced = defaulted("", "Service", { spec: { type: "LoadBalancer", sessionAffinity: "ClientIP", ports: [] } });
  assert.equal(balanced["spec"].externalTrafficPolicy, "Cluster");
  assert.equal(balanced["spec"].allocateLoadBalancerNodePorts, true);
  assert.deepEqual(balanced["spec"].sessionAffinityConfig, { clientIP: { timeoutSeconds: 10_800 } });
});

test("a service that becomes an ExternalName gives its addresses back", () => {
  const old = {
    spec: {
      type: "ClusterIP",
      clusterIP: "10.0.0.1",
      clusterIPs: ["10.0.0.1"],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
    },
  };
  const draft: Draft = { spec: { ...old.spec, type: "ExternalName", externalName: "example.com" } };

  strategyOf("", "Service").prepareForUpdate?.(draft, old as KubeObject);

  assert.deepEqual(draft["spec"], { type: "ExternalName", externalName: "example.com" });
});

test("a namespace carries its name as label and the finalizer of its kind", () => {
  const draft: Draft = { metadata: { name: "blue" } };

  strategyOf("", "Namespace").prepareForCreate?.(draft);

  assert.deepEqual(draft["metadata"].labels, { "kubernetes.io/metadata.name": "blue" });
  assert.deepEqual(draft["spec"], { finalizers: ["kubernetes"] });
  assert.deepEqual(draft["status"], { phase: "Active" });
});

test("a secret's text becomes bytes", () => {
  const draft = defaulted("", "Secret", { data: { a: "eA==" }, stringData: { b: "y" } });

  assert.deepEqual(draft, { data: { a: "eA==", b: "eQ==" }, type: "Opaque" });
});

test("workloads get upstream's defaults, their templates too", () => {
  const template = { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "a" }] } };

  const deployment = defaulted("apps", "Deployment", { spec: { template } })["spec"];
  const job = defaulted("batch", "Job", { metadata: {}, spec: { template } });
  const set = defaulted("apps", "StatefulSet", {
    spec: { template, volumeClaimTemplates: [{ metadata: { name: "d" }, spec: {} }] },
  })["spec"];

  assert.deepEqual(
    [deployment.replicas, deployment.revisionHistoryLimit, deployment.progressDeadlineSeconds],
    [1, 10, 600],
  );
  assert.deepEqual(deployment.strategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" },
  });
  assert.equal(deployment.template.spec.restartPolicy, "Always");
  assert.equal(deployment.template.spec.enableServiceLinks, undefined);
  assert.deepEqual(job["metadata"].labels, { app: "x" });
  assert.deepEqual([job["spec"].completions, job["spec"].parallelism, job["spec"].backoffLimit], [1, 1, 6]);
  assert.deepEqual(set.updateStrategy, { type: "RollingUpdate", rollingUpdate: { partition: 0 } });
  assert.equal(set.volumeClaimTemplates[0].spec.volumeMode, "Filesystem");
  assert.equal(set.volumeClaimTemplates[0].status.phase, "Pending");
});

test("a job's pods are found by the job's uid", () => {
  const draft: Draft = { metadata: { name: "once", uid: "u1" }, spec: { template: {} } };

  strategyOf("batch", "Job").prepareForCreate?.(draft);

  assert.deepEqual(draft["spec"].selector, { matchLabels: { "batch.kubernetes.io/controller-uid": "u1" } });
  assert.deepEqual(draft["spec"].template.metadata.labels, {
    "job-name": "once",
    "batch.kubernetes.io/job-name": "once",
    "controller-uid": "u1",
    "batch.kubernetes.io/controller-uid": "u1",
  });
});
