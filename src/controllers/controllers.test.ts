/**
 * All controllers together on the real API server with the memory store, in-process and over HTTPS: what unit tests on the API in memory cannot show.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from "#api/generated/types/apps-v1.ts";
import type { CronJob, Job } from "#api/generated/types/batch-v1.ts";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Client } from "#client/client.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { silentLogger as logger } from "#component-base/logger.ts";
import {
  configMaps,
  controllerRevisions,
  cronJobs,
  daemonSets,
  deployments,
  endpointSlices,
  jobs,
  namespaces,
  nodes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  serviceAccounts,
  services,
  statefulSets,
} from "./common/resources.ts";
import { createControllers } from "./controllers.ts";

const namespace = "shop";
const labels = { app: "web" };
const template = {
  metadata: { labels },
  spec: { containers: [{ name: "c", image: "web", ports: [{ name: "http", containerPort: 80 }] }] },
};

class ControlPlane {
  readonly client: Client;
  readonly stop: () => Promise<void>;

  constructor(client: Client, stop: () => Promise<void>) {
    this.client = client;
    this.stop = stop;
  }

  async create<T extends KubeObject>(resource: GroupVersionResource, object: T): Promise<T> {
    return await this.client.create<T>({ resource, namespace }, object);
  }

  async list<T extends KubeObject>(resource: GroupVersionResource): Promise<readonly T[]> {
    return (await this.client.list<T>({ resource, namespace })).items;
  }

  /** Plays scheduler and kubelet for all pods that wait. */
  async runPods(phase = "Running"): Promise<void> {
    for (const pod of await this.list<Pod>(pods)) {
      if (pod.status?.phase !== "Pending" || pod.metadata?.deletionTimestamp) continue;
      const name = pod.metadata?.name ?? "";
      const status = phase === "Running" ? "True" : "False";
      const conditions = [{ type: "Ready", status, lastTransitionTime: formatTime(clock.now()) }];
      const body = { status: { phase, conditions, podIPs: [{ ip: "10.0.0.1" }], podIP: "10.0.0.1" } };
      await this.client.patch({ resource: pods, namespace, name, subresource: "status" }, { type: "strategic", body });
    }
  }

  async until(what: string, condition: () => Promise<boolean>): Promise<void> {
    for (let round = 0; round < 3000; round++) {
      if (await condition()) return;
      await clock.sleep(10);
    }
    assert.fail(`${what} did not happen`);
  }
}

async function startControlPlane(https: boolean): Promise<ControlPlane> {
  const api = await startTestApiServer({ https });
  const client = https ? api.httpClient() : api.client;
  const informers = createInformerFactory({ client, clock, logger });
  const recorder = createEventRecorder({ client, component: "test", clock, logger });
  const controllers = createControllers({
    client,
    informers,
    recorderFor: () => recorder,
    rootCa: "PEM",
    clock,
    logger,
  });
  const { signal } = new AbortController();
  await informers.start(signal);
  await Promise.all(controllers.map((controller) => controller.start(signal)));
  await client.create({ resource: namespaces }, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  await client.create<Node>({ resource: nodes }, { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } });
  return new ControlPlane(client, async () => {
    await Promise.all(controllers.map((controller) => controller.stop()));
    await recorder.stop();
    await informers.stop();
    await api.stop();
  });
}

function deployment(replicas: number): Deployment {
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" }, spec } as Deployment;
}

for (const https of [false, true]) {
  const how = https ? "over HTTPS" : "in-process";

  test(`a namespace gets its account and root CA, ${how}`, async () => {
    const plane = await startControlPlane(https);

    await plane.until("both", async () => {
      const accounts = await plane.list(serviceAccounts);
      return accounts.length === 1 && (await plane.list(configMaps)).length === 1;
    });
    await plane.stop();
  });

  test(`a deployment is rolled out and over, and goes with everything it owns, ${how}`, async () => {
    const plane = await startControlPlane(https);
    await plane.create(deployments, deployment(2));
    const available = async (updated: number) => {
      await plane.runPods();
      const [one] = await plane.list<Deployment>(deployments);
      const { status, metadata } = one ?? {};
      const isSeen = status?.observedGeneration === metadata?.generation;
      return isSeen && status?.availableReplicas === 2 && status.updatedReplicas === updated && status.replicas === 2;
    };
    await plane.until("the rollout", () => available(2));

    const image = { spec: { template: { spec: { containers: [{ name: "c", image: "web:2" }] } } } };
    await plane.client.patch({ resource: deployments, namespace, name: "web" }, { type: "strategic", body: image });
    await plane.until("the second rollout", () => available(2));

    const sets = await plane.list<ReplicaSet>(replicaSets);
    assert.deepEqual(sets.map((set) => set.spec?.replicas).sort(), [0, 2]);
    await plane.client.delete({ resource: deployments, namespace, name: "web" }, { propagationPolicy: "Foreground" });
    await plane.until("the end of all", async () => {
      const counts = await Promise.all(
        [deployments, replicaSets, pods].map(async (one) => (await plane.list(one)).length),
      );
      return counts.every((count) => count === 0);
    });
    await plane.stop();
  });

  test(`a service's slice follows its pods, ${how}`, async () => {
    const plane = await startControlPlane(https);
    const spec = { ...template.spec, nodeName: "n1" };
    await plane.create<Pod>(pods, { apiVersion: "v1", kind: "Pod", metadata: { name: "p", labels }, spec } as Pod);
    const ports = [{ port: 80, targetPort: "http" }];
    const service = { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { selector: labels, ports } };

    await plane.create(services, service);
    await plane.runPods();

    await plane.until("the slice", async () => {
      const [slice] = await plane.list<EndpointSlice>(endpointSlices);
      const [endpoint] = slice?.endpoints ?? [];
      return (
        endpoint?.addresses[0] === "10.0.0.1" && endpoint.conditions?.ready === true && slice?.ports?.[0]?.port === 80
      );
    });
    await plane.stop();
  });

  test(`a job completes, ${how}`, async () => {
    const plane = await startControlPlane(https);
    const podTemplate = { ...template, metadata: {}, spec: { ...template.spec, restartPolicy: "Never" } };
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "work" },
      spec: { completions: 2, parallelism: 2, template: podTemplate },
    };

    await plane.create(jobs, job as unknown as Job);

    await plane.until("the completion", async () => {
      await plane.runPods("Succeeded");
      const [one] = await plane.list<Job>(jobs);
      const isComplete = one?.status?.conditions?.some(({ type, status }) => type === "Complete" && status === "True");
      return isComplete === true && one?.status?.succeeded === 2;
    });
    const all = await plane.list<Pod>(pods);
    assert.ok(all.every((pod) => (pod.metadata?.finalizers ?? []).length === 0));
    await plane.stop();
  });

  test(`a stateful set and a daemon set run their pods and roll out, ${how}`, async () => {
    const plane = await startControlPlane(https);
    const common = { selector: { matchLabels: labels }, template };
    const set = {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db" },
      spec: { replicas: 2, serviceName: "db", ...common },
    };
    await plane.create(statefulSets, set as StatefulSet);
    const other = { app: "agent" };
    const agents = { selector: { matchLabels: other }, template: { ...template, metadata: { labels: other } } };
    await plane.create(daemonSets, {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "agent" },
      spec: agents,
    } as DaemonSet);
    const isReady = async () => {
      await plane.runPods();
      const [stateful] = await plane.list<StatefulSet>(statefulSets);
      const [daemon] = await plane.list<DaemonSet>(daemonSets);
      const isRolledOut = stateful?.status?.readyReplicas === 2 && stateful.status.updatedReplicas === 2;
      const isSeen = stateful?.status?.observedGeneration === stateful?.metadata?.generation;
      return isRolledOut && isSeen && daemon?.status?.numberReady === 1;
    };
    await plane.until("the first rollout", isReady);

    const image = { spec: { template: { spec: { containers: [{ name: "c", image: "web:2" }] } } } };
    await plane.client.patch({ resource: statefulSets, namespace, name: "db" }, { type: "strategic", body: image });
    await plane.until("the second rollout", isReady);

    const [stateful] = await plane.list<StatefulSet>(statefulSets);
    assert.equal(stateful?.status?.currentRevision, stateful?.status?.updateRevision);
    assert.equal((await plane.list(controllerRevisions)).length, 3);
    await plane.stop();
  });

  test(`a disruption budget counts, and a cron job starts jobs, ${how}`, async () => {
    const plane = await startControlPlane(https);
    await plane.create(deployments, deployment(2));
    const budget = { selector: { matchLabels: labels }, maxUnavailable: 1 };
    await plane.create<PodDisruptionBudget>(podDisruptionBudgets, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "web" },
      spec: budget,
    });
    const podTemplate = { ...template, metadata: {}, spec: { ...template.spec, restartPolicy: "Never" } };
    const spec = { schedule: "@every 1s", jobTemplate: { spec: { template: podTemplate } } };
    await plane.create(cronJobs, {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "tick" },
      spec,
    } as unknown as CronJob);

    await plane.until("the numbers", async () => {
      await plane.runPods();
      const [one] = await plane.list<PodDisruptionBudget>(podDisruptionBudgets);
      return one?.status?.disruptionsAllowed === 1 && one.status.expectedPods === 2;
    });
    await plane.until("the job", async () => (await plane.list(jobs)).length > 0);
    await plane.stop();
  });

  test(`a namespace is emptied and goes, ${how}`, async () => {
    const plane = await startControlPlane(https);
    await plane.create(deployments, deployment(1));
    await plane.until("the pod", async () => (await plane.list(pods)).length === 1);

    await plane.client.delete({ resource: namespaces, name: namespace });

    await plane.until("its end", async () => {
      try {
        await plane.client.get({ resource: namespaces, name: namespace });
        return false;
      } catch (error) {
        return hasReason(error, "NotFound");
      }
    });
    await plane.stop();
  });
}
