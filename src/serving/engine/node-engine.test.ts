import assert from "node:assert/strict";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { until } from "#client/testing/settle.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { deployments } from "#serving/common/context.ts";
import { services } from "#serving/kinds.ts";
import { TestServing } from "#serving/testing/test-serving.ts";
import { revisionHold } from "./engine-config.ts";
import { NodeEngine } from "./node-engine.ts";

/** An address of this machine that may stand in an EndpointSlice: loopback may not. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((one) => one !== undefined && one.family === "IPv4" && !one.internal)?.address;
const skip = address === undefined ? "needs an address that is not loopback" : false;

/** A program that tells which revision it was asked for. */
async function program(address: string): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((request, response) => {
    response.end(`${String(request.headers["knative-serving-revision"])} ${request.url}`);
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { port: (server.address() as AddressInfo).port, server };
}

function ask(port: number, host: string, path: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, headers: { host }, agent: false }, (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => (text += String(piece)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on("error", reject).end();
  });
}

describe("a node's data plane", { skip }, () => {
  it("answers for a revision with a pod, holds requests for one at zero, and wakes it", async () => {
    const { port, server } = await program(address ?? "");
    const serving = await TestServing.start({ podIP: address ?? "", dataPlane: "nodes" });
    const informers = createInformerFactory({ client: serving.client, clock: systemClock, logger: silentLogger });
    const node = new NodeEngine({
      nodeName: "n1",
      client: serving.client,
      informers,
      listeners: { open: "open", local: "local" },
      addresses: ["10.99.0.1"],
      httpPort: 8081,
      clock: systemClock,
      logger: silentLogger,
    });
    const engine = new ProxyEngine({ clock: systemClock, holds: new Map([[revisionHold, node.hold]]) });
    try {
      for (const name of ["open", "local"])
        await engine.apply([{ set: { kind: "listener", config: { name, address: { host: "127.0.0.1", port: 0 } } } }]);
      await informers.start(new AbortController().signal);
      await node.start(engine);
      const space = await serving.namespace("edge");
      const container = { image: "registry.example/hello", ports: [{ containerPort: port }] };
      const template = {
        metadata: { annotations: { "autoscaling.knative.dev/window": "6s" } },
        spec: { containers: [container] },
      };
      await space.create(services, {
        apiVersion: "serving.knative.dev/v1",
        kind: "Service",
        metadata: { name: "hello" },
        spec: { template },
      });
      const host = "hello.edge.localhost";
      await space.pass(2);
      assert.equal((await ask(engine.portOf("open"), host, "/warm")).text, "hello-00001 /warm");
      assert.equal((await ask(engine.portOf("open"), "hello.edge", "/")).status, 404);
      assert.equal((await ask(engine.portOf("local"), "hello.edge", "/in")).text, "hello-00001 /in");

      const replicas = async () => (await space.get<Deployment>(deployments, "hello-00001-deployment")).spec?.replicas;
      await space.pass(15, () => space.report("hello-00001", 0));
      assert.equal(await replicas(), 0);

      // Nobody tells the autoscaler but the held requests themselves.
      const answers = Promise.all(["/a", "/b", "/c"].map((path) => ask(engine.portOf("open"), host, path)));
      await until(async () => {
        await serving.settle();
        return (await replicas()) === 1;
      }, "the revision's waking");
      await serving.settle();
      assert.deepEqual(
        (await answers).map(({ text }) => text),
        ["hello-00001 /a", "hello-00001 /b", "hello-00001 /c"],
      );
    } finally {
      await node.stop();
      await engine.stop(0);
      await informers.stop();
      await serving.stop();
      server.close();
    }
  });
});
