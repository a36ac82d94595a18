import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { describe, it } from "node:test";
import type { Lease } from "#api/generated/types/coordination-v1.ts";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { createClient } from "#client/rest-client.ts";
import type { Client } from "#client/client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { until } from "#client/testing/settle.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createKubelet } from "./kubelet.ts";
import type { Kubelet } from "./kubelet.ts";
import { MemoryPods } from "./testing/memory-pods.ts";

const pods = { group: "", version: "v1", resource: "pods" };
const nodes = { group: "", version: "v1", resource: "nodes" };
const leases = { group: "coordination.k8s.io", version: "v1", resource: "leases" };

const health = async () => ({ memoryPressure: false, diskPressure: false, pidPressure: false, notReady: [] });

type House = {
  readonly clock: FakeClock;
  readonly transport: FakeTransport;
  readonly client: Client;
  readonly provider: MemoryPods;
  readonly kubelet: Kubelet;
};

async function withKubelet(
  body: (house: House) => Promise<void>,
  before?: (house: House) => Promise<void>,
): Promise<void> {
  const clock = new FakeClock();
  const transport = new FakeTransport({ clock });
  const client = createClient(transport);
  const provider = new MemoryPods();
  const kubelet = createKubelet({
    nodeName: "n1",
    client,
    place: { provider, version: "fake://1" },
    kubeletVersion: "v1.36.3",
    folders: { root: tmpdir(), logs: tmpdir() },
    clusterDns: ["10.43.0.10"],
    health,
    addresses: ["10.42.255.2"],
    podCidr: "10.42.0.0/24",
    clock,
    logger: silentLogger,
  });
  const house = { clock, transport, client, provider, kubelet };
  await before?.(house);
  await kubelet.start(new AbortController().signal);
  try {
    await body(house);
  } finally {
    await kubelet.stop();
    await transport.close();
  }
}

function podNamed(name: string, spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { nodeName: "n1", containers: [{ name: "main", image: "app" }], terminationGracePeriodSeconds: 30, ...spec },
    status: { phase: "Pending" },
  };
}

function create(client: Client, pod: Pod): Promise<Pod> {
  return client.create<Pod>({ resource: pods, namespace: "default" }, pod);
}

async function untilPod(client: Client, name: string, holds: (pod: Pod) => boolean): Promise<Pod> {
  let found: Pod | undefined;
  await until(async () => {
    const list = await client.list<Pod>({ resource: pods, namespace: "default" });
    found = list.items.find((pod) => pod.metadata?.name === name);
    return found !== undefined && holds(found);
  }, `pod ${name}`);
  return found as Pod;
}

async function untilGone(client: Client, name: string): Promise<void> {
  await until(async () => {
    const list = await client.list<Pod>({ resource: pods, namespace: "default" });
    return !list.items.some((pod) => pod.metadata?.name === name);
  }, `pod ${name} gone`);
}

const isReady = (pod: Pod) =>
  pod.status?.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false;

describe("the kubelet", () => {
  it("registers the node with labels, capacity, addresses and conditions", async () => {
    await withKubelet(async ({ client }) => {
      const node = await client.get<Node>({ resource: nodes, name: "n1" });

      assert.equal(node.metadata?.labels?.["kubernetes.io/hostname"], "n1");
      assert.equal(node.metadata?.labels?.["kubernetes.io/os"], "linux");
      assert.equal(node.spec?.podCIDR, "10.42.0.0/24");
      assert.deepEqual(node.status?.addresses, [
        { type: "InternalIP", address: "10.42.255.2" },
        { type: "Hostname", address: "n1" },
      ]);
      assert.equal(node.status?.capacity?.["pods"], "110");
      assert.equal(node.status?.nodeInfo?.kubeletVersion, "v1.36.3");
      const ready = node.status?.conditions?.find((it) => it.type === "Ready");
      assert.equal(ready?.status, "True");
      assert.equal(ready?.message, "kubelet is posting ready status");
    });
  });

  it("renews its lease every ten seconds and writes nothing else while idle", async () => {
    await withKubelet(async ({ client, clock, transport }) => {
      const ref = { resource: leases, namespace: "kube-node-lease", name: "n1" };
      const first = await client.get<Lease>(ref);
      transport.log.length = 0;

      for (let beat = 0; beat < 3; beat += 1) await clock.advance(10_000);

      const writes = transport.log.filter((line) => !line.startsWith("GET"));
      assert.equal(writes.length, 3);
      assert.ok(writes.every((line) => line.startsWith("PUT") && line.includes("leases")));
      const last = await client.get<Lease>(ref);
      assert.notEqual(last.spec?.renewTime, first.spec?.renewTime);
    });
  });

  it("writes the node status again after five minutes", async () => {
    await withKubelet(async ({ clock, transport }) => {
      transport.log.length = 0;

      for (let beat = 0; beat < 31; beat += 1) await clock.advance(10_000);

      const statuses = transport.log.filter((line) => line.includes("/nodes/n1/status"));
      assert.equal(statuses.length, 1);
    });
  });

  it("runs a pod that is bound to it and tells its status", async () => {
    await withKubelet(async ({ client }) => {
      await create(client, podNamed("web"));

      const pod = await untilPod(client, "web", isReady);

      assert.equal(pod.status?.phase, "Running");
      assert.equal(pod.status?.hostIP, "10.42.255.2");
      assert.ok(pod.status?.startTime);
      assert.ok(pod.status?.conditions?.every((it) => it.lastTransitionTime));
    });
  });

  it("stops a deleted pod and removes it from the API", async () => {
    await withKubelet(async ({ client, provider }) => {
      await create(client, podNamed("web"));
      await untilPod(client, "web", isReady);

      await client.delete({ resource: pods, namespace: "default", name: "web" });

      await untilGone(client, "web");
      assert.deepEqual(await provider.listPods(), []);
    });
  });

  it("sends the terminal status before it removes a deleted pod", async () => {
    await withKubelet(async ({ client, transport }) => {
      await create(client, podNamed("web"));
      await untilPod(client, "web", isReady);
      transport.log.length = 0;

      await client.delete({ resource: pods, namespace: "default", name: "web" });
      await untilGone(client, "web");

      const writes = transport.log.filter((line) => /^(PATCH|DELETE)/.test(line));
      assert.deepEqual(writes.slice(-2), [
        "PATCH /api/v1/namespaces/default/pods/web/status",
        "DELETE /api/v1/namespaces/default/pods/web",
      ]);
    });
  });

  it("refuses a pod that does not fit, as Failed with upstream's reason and message", async () => {
    await withKubelet(async ({ client, provider }) => {
      const huge = { name: "main", image: "app", resources: { requests: { cpu: "10000" } } };
      await create(client, podNamed("huge", { containers: [huge] }));

      const pod = await untilPod(client, "huge", (it) => it.status?.phase === "Failed");

      assert.equal(pod.status?.reason, "OutOfcpu");
      assert.match(
        pod.status?.message ?? "",
        /^Pod was rejected: Node didn't have enough resource: cpu, requested: 10000000, used: 0, capacity: \d+$/,
      );
      assert.deepEqual(await provider.listPods(), []);
    });
  });

  it("lets a resize wait that the node has no room for, and says so", async () => {
    await withKubelet(async ({ client }) => {
      const sized = (cpu: string) => [{ name: "main", image: "app", resources: { requests: { cpu } } }];
      const made = await create(client, podNamed("web", { containers: sized("100m") }));
      await untilPod(client, "web", isReady);
      const ref = { resource: pods, namespace: "default", name: "web" };

      await client.patch<Pod>(ref, { type: "merge", body: { spec: { ...made.spec, containers: sized("9999") } } });

      const pending = (pod: Pod) => pod.status?.conditions?.find((it) => it.type === "PodResizePending");
      const pod = await untilPod(client, "web", (it) => pending(it) !== undefined);
      assert.equal(pending(pod)?.reason, "Infeasible");
      assert.match(
        pending(pod)?.message ?? "",
        /^Node didn't have enough capacity: cpu, requested: 9999000, capacity: \d+$/,
      );
      await client.patch<Pod>(ref, { type: "merge", body: { spec: { ...made.spec, containers: sized("200m") } } });
      await untilPod(client, "web", (it) => pending(it) === undefined);
    });
  });

  it("refuses kernel settings that reach beyond the pod", async () => {
    await withKubelet(async ({ client }) => {
      await create(
        client,
        podNamed("greedy", { securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } }),
      );
      const pod = await untilPod(client, "greedy", (it) => it.status?.phase === "Failed");
      assert.equal(pod.status?.reason, "SysctlForbidden");
      assert.equal(pod.status?.message, 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted');
    });
  });

  it("never starts a pod that has ended already", async () => {
    await withKubelet(
      async ({ provider, client }) => {
        await create(client, podNamed("next"));
        await untilPod(client, "next", isReady);

        assert.deepEqual(
          (await provider.listPods()).map((it) => it.ref.name),
          ["next"],
        );
      },
      async ({ client }) => {
        await create(client, { ...podNamed("done"), status: { phase: "Succeeded" } });
      },
    );
  });

  it("removes pods that the provider still runs but nobody knows any more", async () => {
    await withKubelet(
      async ({ provider }) => {
        await until(async () => (await provider.listPods()).length === 0, "the dangling pod gone");
      },
      async ({ provider }) => {
        const ghost = { ...podNamed("ghost"), metadata: { name: "ghost", namespace: "default", uid: "old" } };
        await provider.createPod(ghost);
      },
    );
  });

  it("tries a status again until the API has it, and sends the newest", async () => {
    let isDown = false;
    const clock = new FakeClock();
    const transport = new FakeTransport({
      clock,
      hook: () => {
        if (isDown) throw new Error("down");
      },
    });
    const client = createClient(transport);
    const provider = new MemoryPods();
    const options = { nodeName: "n1", client, place: { provider, version: "fake://1" }, kubeletVersion: "v1.36.3" };
    const folders = { root: tmpdir(), logs: tmpdir() };
    const rest = { folders, clusterDns: [], health, addresses: ["10.0.0.1"], clock, logger: silentLogger };
    const kubelet = createKubelet({ ...options, ...rest });
    await kubelet.start(new AbortController().signal);
    const made = await create(client, podNamed("job", { restartPolicy: "Never" }));
    await untilPod(client, "job", isReady);

    isDown = true;
    provider.end(made.metadata?.uid ?? "", 3);
    await clock.advance(1000);
    isDown = false;
    await clock.advance(10_000);

    const pod = await untilPod(client, "job", (it) => it.status?.phase === "Failed");
    assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    await kubelet.stop();
  });

  it("does not turn away at its start what runs already", async () => {
    await withKubelet(
      async ({ client }) => {
        const pod = await untilPod(client, "huge", isReady);
        assert.equal(pod.status?.phase, "Running");
      },
      async ({ client, provider }) => {
        const containers = [{ name: "main", image: "app", resources: { requests: { cpu: "9999" } } }];
        await provider.createPod(await create(client, podNamed("huge", { containers })));
      },
    );
  });

  it("leaves pods running when it stops, and finds them again", async () => {
    const provider = new MemoryPods();
    const clock = new FakeClock();
    const client = createClient(new FakeTransport({ clock }));
    const make = () =>
      createKubelet({
        nodeName: "n1",
        client,
        place: { provider, version: "fake://1" },
        kubeletVersion: "v1.36.3",
        folders: { root: tmpdir(), logs: tmpdir() },
        clusterDns: [],
        health,
        addresses: ["10.0.0.1"],
        clock,
        logger: silentLogger,
      });
    const first = make();
    await first.start(new AbortController().signal);
    await create(client, podNamed("web"));
    await untilPod(client, "web", isReady);
    await first.stop();

    const second = make();
    await second.start(new AbortController().signal);

    assert.equal(provider.starts, 1);
    await client.delete({ resource: pods, namespace: "default", name: "web" });
    await untilGone(client, "web");
    await second.stop();
  });
});
