/**
 * Two clusters side by side, one of them with three nodes: pods reach each other across nodes, Services and names work on each, and nothing of one is seen by the other.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { canRunContainers, eventually, loadExampleImages, startCluster, type TestCluster } from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";

/** How many of so many connections were answered by redis. */
async function pings(host: string, count: number): Promise<number> {
  const one = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host, port: 6379, timeout: 2000 });
      const end = (isAnswered: boolean) => {
        socket.destroy();
        resolve(isAnswered);
      };
      socket.on("error", () => end(false)).on("timeout", () => end(false));
      socket.on("data", (data) => end(data.toString().startsWith("+PONG")));
      socket.write("PING\r\n");
    });
  const answers = await Promise.all(Array.from({ length: count }, one));
  return answers.filter(Boolean).length;
}

describe("two clusters", { skip }, () => {
  let one: TestCluster;
  let three: TestCluster;

  before(async () => {
    one = await startCluster("one");
    three = await startCluster("three", { nodes: 3 });
    await loadExampleImages(one, ["redis", "web"]);
  });

  after(async () => {
    await one?.remove();
    await three?.remove();
  });

  test("each has its own nodes", async () => {
    assert.match((await one.kubectl(["get", "nodes"])).stdout, /^one\s+Ready/m);
    const { stdout } = await three.kubectl(["get", "nodes", "--no-headers"]);
    assert.deepEqual(stdout.match(/^three-\d\s+Ready/gm)?.length, 3);
  });

  test("a Service answers from every node, over pods on all of them", async () => {
    await three.kubectl([
      "create",
      "deployment",
      "web",
      "--image=shop/redis:7",
      "--replicas=3",
      "--",
      "redis-server",
      "--protected-mode",
      "no",
      "--bind",
      "0.0.0.0",
    ]);
    await three.kubectl(["expose", "deployment", "web", "--port=6379"]);
    await three.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"]);
    const placed = (await three.kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"])).stdout.split(" ");
    const pods = (await three.kubectl(["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"])).stdout.split(" ");
    assert.equal(new Set(placed).size, 3);
    for (const pod of pods) {
      await eventually(`an answer to ${pod}`, async () => {
        const { stdout } = await three.kubectl(
          ["exec", pod, "--", "redis-cli", "-h", "web.default.svc.cluster.local", "ping"],
          { mayFail: true },
        );
        return stdout === "PONG\n";
      });
    }
  });

  test("a Service answers the machine itself, at its ClusterIP and at its load balancer's address, whichever node its pod is on", async () => {
    await three.kubectl(["expose", "deployment", "web", "--name=outside", "--port=6379", "--type=LoadBalancer"]);
    const read = async (path: string) =>
      (await three.kubectl(["get", "service", "outside", "-o", `jsonpath={${path}}`])).stdout;
    const external = await eventually(
      "an address",
      async () => (await read(".status.loadBalancer.ingress[0].ip")) || undefined,
    );

    for (const address of [await read(".spec.clusterIP"), external])
      await eventually(`three answers at ${address}`, async () => (await pings(address, 12)) === 12);
  });

  test("deleting one leaves the other alone", async () => {
    await one.nodeless(["delete", "--name", "one"]);

    assert.match((await three.kubectl(["get", "nodes"])).stdout, /Ready/);
    const [pod = ""] = (await three.kubectl(["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"])).stdout.split(
      " ",
    );
    assert.equal((await three.kubectl(["exec", pod, "--", "redis-cli", "ping"])).stdout, "PONG\n");
  });

  test("a cluster that is down comes back with one node, or two again, and its Deployments and Services with it", async () => {
    const ping = ["exec", "deployment/web", "--", "redis-cli", "-h", "web.default.svc.cluster.local", "ping"];
    for (const [count, names] of [
      ["1", ["three"]],
      ["2", ["three-1", "three-2"]],
    ] as const) {
      await three.nodeless(["down", "--name", "three"]);
      const { stdout } = await three.nodeless(["up", "--name", "three", "--nodes", count]);
      await three.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"]);

      assert.match(stdout, /^Removed three.*, with the pods there/m);
      const nodes = await three.kubectl(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
      const hosts = await three.kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
      assert.deepEqual(nodes.stdout.split(" "), names);
      assert.ok(
        hosts.stdout.split(" ").every((host) => (names as readonly string[]).includes(host)),
        hosts.stdout,
      );
      await eventually("an answer", async () => (await three.kubectl(ping, { mayFail: true })).stdout === "PONG\n");
    }
  });
});
