/**
 * What nodes and pods use, as users see it: kubectl top in its forms, the metrics API beneath it, and the endpoints of the node that dashboards scrape.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  run,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import { kubectlVersions } from "../support/kubectl.ts";

const burn = "i=0; while true; do i=$((i+1)); [ $((i%2000)) = 0 ] && sleep 0.01; done";

describe("metrics", { skip: !canRunContainers() && "needs root, conmon and crun or runc" }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster("metrics");
    await loadExampleImages(cluster, ["busybox"]);
    const common = { image: "busybox", imagePullPolicy: "Never" };
    const containers = [
      { ...common, name: "busy", command: ["sh", "-c", burn], resources: { limits: { cpu: "100m", memory: "64Mi" } } },
      { ...common, name: "idle", command: ["sleep", "1000"], readinessProbe: { exec: { command: ["true"] } } },
    ];
    const spec = { containers, terminationGracePeriodSeconds: 0 };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "web", labels: { app: "web" } }, spec };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(pod) });
    await cluster.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"]);
  });
  after(() => cluster?.remove());

  const print = async (...args: string[]) => (await cluster.kubectl(args)).stdout;
  /** Lines of a table, each as its words. */
  const table = async (...args: string[]) =>
    (await print(...args))
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/));

  test("kubectl top shows nodes, pods and containers, sums and sorts", async () => {
    await eventually("the pod is measured", async () => (await print("top", "pods")).includes("web"));

    assert.deepEqual((await table("top", "nodes"))[0], ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]);
    const [, pod] = await table("top", "pods");
    assert.equal(pod?.[0], "web");
    const millicores = Number(/^(\d+)m$/.exec(pod?.[1] ?? "")?.[1]);
    assert.ok(millicores >= 1 && millicores <= 130, `a container bounded to 100m uses ${millicores}m`);
    assert.deepEqual(
      (await table("top", "pods", "--containers", "--no-headers", "--sort-by=cpu")).map((line) => line.slice(0, 2)),
      [
        ["web", "busy"],
        ["web", "idle"],
      ],
    );
    assert.equal((await table("top", "pods", "-A", "--sum")).at(-1)?.length, 2);
    assert.match(await print("top", "pod", "-l", "app=web"), /^web /m);
    assert.match(await print("top", "nodes", "--sort-by=memory", "--show-capacity"), /metrics/);
  });

  test("what is not measured is told as upstream tells it", async () => {
    const { stderr } = await cluster.kubectl(["top", "pod", "absent"], { mayFail: true });
    assert.match(stderr, /Error from server \(NotFound\): podmetrics\.metrics\.k8s\.io "default\/absent" not found/);
    const none = await cluster.kubectl(["top", "pod", "-l", "app=absent"], { mayFail: true });
    assert.match(none.stderr, /No resources found|metrics not available yet/);
  });

  test("the metrics API is one like others: get, Table, YAML, discovery", async () => {
    const [columns, row] = await table("get", "pods.metrics.k8s.io");
    assert.deepEqual(columns, ["NAME", "CPU", "MEMORY", "WINDOW"]);
    assert.equal(row?.[0], "web");
    assert.match(await print("get", "nodes.metrics.k8s.io", "-o", "yaml"), /window: \d/);
    assert.match(
      await print("api-resources", "--api-group=metrics.k8s.io"),
      /pods +metrics\.k8s\.io\/v1beta1 +true +PodMetrics/,
    );
  });

  test("kubectls old and new show the same", async () => {
    for (const { version, path } of kubectlVersions(["1.27", "1.30", "1.33", "1.35"])) {
      const { stdout } = await run(path, ["--context", cluster.context, "top", "pods", "--containers"], {
        environment: cluster.environment,
      });
      assert.match(stdout, /^web +busy /m, version);
    }
  });

  test("a metrics-server of the user's own takes over with its APIService, and what was there comes back without it", async () => {
    const name = "v1beta1.metrics.k8s.io";
    assert.doesNotMatch(await print("get", "apiservices"), /metrics/);
    const spec = {
      group: "metrics.k8s.io",
      version: "v1beta1",
      groupPriorityMinimum: 100,
      versionPriority: 100,
      insecureSkipTLSVerify: true,
      service: { name: "metrics-server", namespace: "kube-system" },
    };
    const service = { apiVersion: "apiregistration.k8s.io/v1", kind: "APIService", metadata: { name }, spec };

    // The Service is missing: what must be seen is that it is asked.
    await cluster.kubectl(["create", "-f", "-"], { input: JSON.stringify(service) });
    await eventually("the other server is asked", async () => {
      const { code, stderr } = await cluster.kubectl(["top", "nodes"], { mayFail: true });
      return code !== 0 && /unable to handle the request|not available/i.test(stderr);
    });
    await cluster.kubectl(["delete", "apiservice", name]);
    await eventually("the own figures are back", async () => (await print("top", "nodes")).includes("CPU(cores)"));
  });

  test("the node's own endpoints say what dashboards look for", async () => {
    const node = (await print("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).trim();
    const scrape = (path: string) => print("get", "--raw", `/api/v1/nodes/${node}/proxy/${path}`);
    const busy = 'container="busy",.*namespace="default",pod="web"';

    assert.match(await scrape("metrics"), /^kubelet_running_pods [1-9]/m);
    assert.match(
      await scrape("metrics/resource"),
      new RegExp(`^container_cpu_usage_seconds_total{${busy.replace(".*", "")}} `, "m"),
    );
    const cadvisor = await scrape("metrics/cadvisor");
    assert.match(cadvisor, new RegExp(`^container_spec_memory_limit_bytes{${busy}} 67108864 `, "m"));
    assert.match(cadvisor, new RegExp(`^container_memory_working_set_bytes{${busy}} [1-9]`, "m"));
    assert.match(cadvisor, /^container_network_receive_bytes_total\{.*interface="eth0",.*pod="web"\} \d+ /m);
    assert.match(
      await scrape("metrics/probes"),
      /^prober_probe_total{container="idle",.*probe_type="Readiness",result="successful"} [1-9]/m,
    );
    const summary = JSON.parse(await scrape("stats/summary")) as {
      node: { nodeName: string };
      pods: { podRef: { name: string } }[];
    };
    assert.equal(summary.node.nodeName, node);
    assert.ok(summary.pods.some(({ podRef }) => podRef.name === "web"));
  });
});
