/**
 * `@kubernetes/client-node`, the official client for JavaScript: informers that live through a restart of the control plane and an expired resourceVersion, watches, exec, logs,
 * port-forward and patches, with nothing but the kubeconfig that `nodeless up` writes.
 */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { after, before, describe, test } from "node:test";
import {
  AppsV1Api,
  CoreV1Api,
  Exec,
  type Informer,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  PortForward,
  setHeaderOptions,
  type V1ConfigMap,
  type V1Status,
} from "@kubernetes/client-node";
import type { ClusterStatus } from "#cli/machine.ts";
import { startTestApiServer } from "../support/api-server.ts";
import { canRunContainers, eventually, loadExampleImages, startCluster, type TestCluster } from "../support/cluster.ts";

test("an informer whose resourceVersion has expired is told 410 and lists again", async () => {
  const setup = await startTestApiServer({ https: true });
  try {
    const config = new KubeConfig();
    const caData = Buffer.from(setup.pki?.ca.certificate ?? "").toString("base64");
    config.loadFromOptions({
      clusters: [{ name: "c", server: setup.url, caData }],
      users: [{ name: "u" }],
      contexts: [{ name: "x", cluster: "c", user: "u" }],
      currentContext: "x",
    });
    const core = config.makeApiClient(CoreV1Api);
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "a" } } });
    await setup.store.compact(setup.store.currentRevision());
    let lists = 0;
    const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, async () => {
      const list = await core.listNamespacedConfigMap({ namespace });
      // The first list is old: what was before the compaction is no longer known.
      if (++lists === 1 && list.metadata !== undefined) list.metadata.resourceVersion = "1";
      return list;
    });
    const told: string[] = [];
    informer.on("add", ({ metadata }) => void told.push(metadata?.name ?? ""));
    await informer.start();
    await eventually("it lists again", async () => lists === 2, 10_000);
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "b" } } });

    await eventually("it goes on", async () => told.includes("b"), 10_000);
    assert.deepEqual(told, ["a", "b"]);
    await informer.stop();
  } finally {
    await setup.stop();
  }
});

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const namespace = "default";

describe("@kubernetes/client-node", { skip }, () => {
  let cluster: TestCluster;
  let config: KubeConfig;
  let core: CoreV1Api;
  const statusOf = async (): Promise<ClusterStatus> =>
    JSON.parse(
      (await cluster.nodeless(["status", "--name", "js", "-o", "json"], { mayFail: true })).stdout,
    ) as ClusterStatus;

  before(async () => {
    cluster = await startCluster("js");
    await loadExampleImages(cluster, ["nginx:1.16.0"]);
    config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    config.setCurrentContext(cluster.context);
    core = config.makeApiClient(CoreV1Api);
    await core.createNamespacedPod({
      namespace,
      body: { metadata: { name: "web" }, spec: { containers: [{ name: "nginx", image: "nginx:1.16.0" }] } },
    });
    await cluster.kubectl(["wait", "pod/web", "--for=condition=Ready", "--timeout=30s"]);
  });

  after(async () => {
    await cluster?.remove();
  });

  /** An informer on ConfigMaps, started again after errors as its documentation says; and what it told. */
  async function startInformer(): Promise<{
    readonly informer: Informer<V1ConfigMap>;
    readonly told: string[];
    readonly errors: string[];
    readonly stop: () => Promise<void>;
  }> {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const informer = makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
    const told: string[] = [];
    const errors: string[] = [];
    for (const verb of ["add", "update", "delete"] as const)
      informer.on(verb, ({ metadata }: KubernetesObject) => void told.push(`${verb} ${metadata?.name}`));
    let isStopped = false;
    informer.on("error", (error: unknown) => {
      errors.push(String(error));
      // To be stopped is an error, too, and a cluster that is gone one without end.
      if (isStopped) return;
      setTimeout(() => informer.start().catch((again: unknown) => errors.push(String(again))), 200);
    });
    await informer.start();
    const stop = async (): Promise<void> => {
      isStopped = true;
      await informer.stop();
    };
    return { informer, told, errors, stop };
  }

  const makeMap = (name: string) =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data: { a: "1" } } });

  test("informers list and watch: add, update, delete, each once", async () => {
    const { told, stop } = await startInformer();
    try {
      await makeMap("seen");
      await core.patchNamespacedConfigMap(
        { namespace, name: "seen", body: { data: { a: "2" } } },
        setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
      );
      await core.deleteNamespacedConfigMap({ namespace, name: "seen" });

      await eventually("the delete is told", async () => told.includes("delete seen"), 5000);
      assert.deepEqual(
        told.filter((event) => event.endsWith(" seen")),
        ["add seen", "update seen", "delete seen"],
      );
    } finally {
      await stop();
    }
  });

  test("an informer and a program go on when the control plane was killed and came back", async () => {
    const { told, stop } = await startInformer();
    try {
      const before = (await statusOf()).processes.find(({ role }) => role === "control-plane")?.pid ?? 0;
      process.kill(before, "SIGKILL");
      await eventually("another control plane", async () => {
        const { isReady, processes } = await statusOf();
        return isReady && processes.every(({ pid }) => pid !== before);
      });
      await makeMap("after-restart");

      await eventually("the informer tells of it", async () => told.includes("add after-restart"), 20_000);
      assert.equal(told.filter((event) => event === "add kube-root-ca.crt").length, 1);
    } finally {
      await stop();
    }
  });

  test("exec gives output and exit code, with standard input", async () => {
    const output = new PassThrough();
    const input = new PassThrough();
    let text = "";
    output.on("data", (part: Buffer) => (text += String(part)));
    const status = await new Promise<V1Status>((resolve, reject) => {
      const command = ["sh", "-c", "read line; echo got $line; exit 3"];
      new Exec(config).exec(namespace, "web", "nginx", command, output, null, input, false, resolve).catch(reject);
      input.write("hello\n");
    });

    assert.equal(status.details?.causes?.[0]?.message, "3");
    assert.equal(text, "got hello\n");
  });

  test("port-forward carries a request to the pod", async () => {
    const output = new PassThrough();
    const input = new PassThrough();
    let page = "";
    output.on("data", (part: Buffer) => (page += String(part)));
    const socket = await new PortForward(config).portForward(namespace, "web", [80], output, null, input);
    input.write("GET / HTTP/1.0\r\nHost: web\r\n\r\n");

    await eventually("the page", async () => page.includes("Welcome to nginx!"), 5000);
    assert.match(page, /^HTTP\/1\.1 200 OK/);
    if ("close" in socket) socket.close();
  });

  test("logs are followed until the container ends", async () => {
    const stream = new PassThrough();
    let text = "";
    stream.on("data", (part: Buffer) => (text += String(part)));
    const ended = new Promise((resolve) => stream.once("end", resolve));
    // Not broken off: the client then leaves an error of its own that nobody can catch.
    await new Log(config).log(namespace, "web", "nginx", stream, { follow: true, tailLines: 100 });

    await eventually("the access log", async () => text.includes("GET / HTTP/1.0"), 5000);
    await core.deleteNamespacedPod({ namespace, name: "web", gracePeriodSeconds: 0 });
    await ended;
  });

  test("objects of any kind, with server-side apply and strategic merges", async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "any", namespace },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: "any" } },
        template: {
          metadata: { labels: { app: "any" } },
          spec: { containers: [{ name: "one", image: "nginx:1.16.0" }] },
        },
      },
    };
    await objects.create(deployment);
    const apps = config.makeApiClient(AppsV1Api);
    const body = { spec: { template: { spec: { containers: [{ name: "two", image: "nginx:1.16.0" }] } } } };
    const merged = await apps.patchNamespacedDeployment(
      { namespace, name: "any", body },
      setHeaderOptions("Content-Type", PatchStrategy.StrategicMergePatch),
    );
    assert.deepEqual(
      merged.spec?.template.spec?.containers.map(({ name }) => name),
      ["two", "one"],
    );

    const applied = await objects.patch(
      { ...deployment, metadata: { name: "any", namespace, labels: { by: "apply" } } },
      undefined,
      undefined,
      "client-node",
      true,
      PatchStrategy.ServerSideApply,
    );

    assert.equal(applied.metadata?.labels?.["by"], "apply");
    await objects.delete(deployment);
    await assert.rejects(objects.read(deployment), { code: 404 });
  });
});
