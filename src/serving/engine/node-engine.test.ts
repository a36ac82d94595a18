import assert from "node:assert/strict";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import { until } from "#client/testing/settle.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { deployments, pods } from "#serving/common/context.ts";
import { services } from "#serving/kinds.ts";
import { type TestNamespace, TestServing } from "#serving/testing/test-serving.ts";
import { revisionHold } from "./engine-config.ts";
import { NodeEngine } from "./node-engine.ts";

/** An address of this machine that may stand in an EndpointSlice: loopback may not. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((one) => one !== undefined && one.family === "IPv4" && !one.internal)?.address;
const skip = address === undefined ? "needs an address that is not loopback" : false;

/** A program that tells which revision it was asked for; `/slow` is answered when `finish` is called. */
class Program {
  readonly #server: Server;
  readonly #slow: (() => void)[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const end = () => response.end(`${String(request.headers["knative-serving-revision"])} ${request.url}`);
      if (request.url === "/slow") this.#slow.push(end);
      else end();
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get waiting(): number {
    return this.#slow.length;
  }

  finish(): void {
    for (const end of this.#slow.splice(0)) end();
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(port, address ?? "", resolve));
  }

  /** Nobody is there any more. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}

function informersOf({ client }: TestServing): InformerFactory {
  return createInformerFactory({ client, clock: systemClock, logger: silentLogger });
}

/** A node's data plane; one of several where it has a place for others. */
async function openNode(
  nodeName: string,
  { client }: TestServing,
  informers: InformerFactory,
  peer?: { readonly address: string; readonly port: number },
  prepareLike: (pod: { readonly namespace: string; readonly name: string }) => void = () => {},
): Promise<{ readonly node: NodeEngine; readonly engine: ProxyEngine }> {
  const node = new NodeEngine({
    nodeName,
    client,
    informers,
    listeners: { open: "open", secure: "secure", local: "local", ...(peer === undefined ? {} : { peer: "peer" }) },
    addresses: ["10.99.0.1"],
    httpPort: 8081,
    ...(peer === undefined ? {} : { peer }),
    prepareLike,
    clock: systemClock,
    logger: silentLogger,
  });
  const engine = new ProxyEngine({ clock: systemClock, holds: new Map([[revisionHold, node.hold]]) });
  const listen = (name: string, host: string, port: number) =>
    engine.apply([{ set: { kind: "listener", config: { name, address: { host, port } } } }]);
  for (const name of ["open", "local"]) await listen(name, "127.0.0.1", 0);
  if (peer !== undefined) await listen("peer", peer.address, peer.port);
  await informers.start(new AbortController().signal);
  await node.start(engine);
  return { node, engine };
}

/** A node with a Knative Service `hello` in namespace `edge`, awake, whose pods are the program. */
class House {
  readonly program: Program;
  readonly serving: TestServing;
  readonly space: TestNamespace;
  readonly node: NodeEngine;
  readonly engine: ProxyEngine;
  /** For pods like these something was made ready. */
  readonly prepared: readonly string[];
  readonly #informers: InformerFactory;

  private constructor(
    parts: Pick<House, "program" | "serving" | "space" | "node" | "engine" | "prepared">,
    informers: InformerFactory,
  ) {
    this.program = parts.program;
    this.serving = parts.serving;
    this.space = parts.space;
    this.node = parts.node;
    this.engine = parts.engine;
    this.prepared = parts.prepared;
    this.#informers = informers;
  }

  static async open(spec: object = {}): Promise<House> {
    const program = new Program();
    await program.listen(0);
    const serving = await TestServing.start({ podIP: address ?? "", dataPlane: "nodes" });
    const informers = informersOf(serving);
    const prepared: string[] = [];
    const { node, engine } = await openNode("n1", serving, informers, undefined, ({ namespace, name }) =>
      prepared.push(`${namespace}/${name}`),
    );
    const space = await serving.namespace("edge");
    const container = { image: "registry.example/hello", ports: [{ containerPort: program.port }] };
    const template = {
      metadata: { annotations: { "autoscaling.knative.dev/window": "6s" } },
      spec: { containers: [container], ...spec },
    };
    await space.create(services, {
      apiVersion: "serving.knative.dev/v1",
      kind: "Service",
      metadata: { name: "hello" },
      spec: { template },
    });
    await space.pass(2);
    return new House({ program, serving, space, node, engine, prepared }, informers);
  }

  ask(path: string, host = "hello.edge.localhost", listener = "open"): Promise<Answer> {
    return ask(this.engine.portOf(listener), host, path);
  }

  async close(): Promise<void> {
    await this.node.stop();
    await this.engine.stop(0);
    await this.#informers.stop();
    await this.serving.stop();
    await this.program.close();
  }
}

type Answer = { readonly status: number; readonly text: string };

function ask(port: number, host: string, path: string): Promise<Answer> {
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
    const house = await House.open();
    const { serving, space } = house;
    try {
      assert.equal((await house.ask("/warm")).text, "hello-00001 /warm");
      assert.equal((await house.ask("/", "hello.edge")).status, 404);
      assert.equal((await house.ask("/in", "hello.edge", "local")).text, "hello-00001 /in");

      const replicas = async () => (await space.get<Deployment>(deployments, "hello-00001-deployment")).spec?.replicas;
      await space.pass(15, () => space.report("hello-00001", 0));
      assert.equal(await replicas(), 0);

      // Nobody tells the autoscaler but the held requests themselves.
      const answers = Promise.all(["/a", "/b", "/c"].map((path) => house.ask(path)));
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
      await house.close();
    }
  });

  it("lets a pod answer what it has before it ends, and sends it nothing new", async () => {
    const house = await House.open();
    try {
      const slow = house.ask("/slow");
      await until(async () => house.program.waiting === 1, "the slow request");
      const [pod] = await house.space.list<Pod>(pods);
      assert.ok(pod);
      let isDrained = false;
      const drained = house.node.drain(pod).then(() => (isDrained = true));
      const next = house.ask("/next");
      await until(async () => house.node.hold.clusters.length === 1, "the next request is held");
      assert.deepEqual([house.program.waiting, isDrained], [1, false]);

      house.program.finish();
      await drained;
      assert.equal((await slow).text, "hello-00001 /slow");
      // Its place is taken by another one.
      await house.space.delete(pods, pod.metadata?.name ?? "");
      assert.equal((await next).text, "hello-00001 /next");
    } finally {
      await house.close();
    }
  });

  it("sends requests to pods of its own node before the API knows that they run", async () => {
    const house = await House.open();
    const { space } = house;
    try {
      await space.pass(15, () => space.report("hello-00001", 0));
      assert.deepEqual(await space.list<Pod>(pods), []);
      const ports = [{ name: "user-port", containerPort: house.program.port }];
      const pod = {
        metadata: {
          name: "p",
          namespace: "edge",
          uid: "p",
          labels: { "serving.knative.dev/revision": "hello-00001" },
        },
        spec: { nodeName: "n1", containers: [{ name: "user", ports }] },
        status: {
          podIP: address,
          conditions: [{ type: "Ready", status: "True" }],
          containerStatuses: [{ name: "user", state: { running: {} } }],
        },
      };
      house.node.onLocalPod(pod as unknown as Pod);
      assert.equal((await house.ask("/local")).text, "hello-00001 /local");

      // It has ended, and another one is made.
      house.node.onLocalPod({ ...pod, status: { ...pod.status, phase: "Failed" } } as unknown as Pod);
      const next = house.ask("/next");
      await until(async () => {
        await house.serving.settle();
        return (await space.list(pods)).length === 1;
      }, "a pod of the API");
      assert.equal((await next).text, "hello-00001 /next");
      // Whoever starts pods was told what ran here last, once somebody waited.
      assert.deepEqual(house.prepared, ["edge/p"]);
    } finally {
      await house.close();
    }
  });

  it("counts what a pod has at the pod's own node, whichever node is asked, and goes past one that is away", async () => {
    const house = await House.open({ containerConcurrency: 1 });
    // The pod's node as one of two, and the other one. The house's own has no others, and is not asked.
    const peers = await Promise.all(["n1", "n2"].map(async () => ({ address: "127.0.0.1", port: await freePort() })));
    const informers = [informersOf(house.serving), informersOf(house.serving)];
    const own = await openNode("n1", house.serving, informers[0] as InformerFactory, peers[0]);
    const other = await openNode("n2", house.serving, informers[1] as InformerFactory, peers[1]);
    const askAt = ({ engine }: typeof own) => ask(engine.portOf("open"), "hello.edge.localhost", "/slow");
    try {
      const answers = [askAt(other), askAt(own), askAt(other), askAt(own)];
      for (let round = 0; round < answers.length; round++) {
        await until(async () => house.program.waiting > 0, "a request at the program");
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(house.program.waiting, 1);
        house.program.finish();
      }
      assert.deepEqual(new Set((await Promise.all(answers)).map(({ text }) => text)), new Set(["hello-00001 /slow"]));

      await own.node.stop();
      await own.engine.stop(0);
      assert.equal((await ask(other.engine.portOf("open"), "hello.edge.localhost", "/past")).text, "hello-00001 /past");
    } finally {
      for (const { node, engine } of [own, other]) {
        await node.stop();
        await engine.stop(0);
      }
      for (const one of informers) await one.stop();
      await house.close();
    }
  });

  it("keeps requests that meet nobody until somebody is there again", async () => {
    const house = await House.open();
    try {
      const { port } = house.program;
      await house.program.close();
      const answers = [house.ask("/a"), house.ask("/b")];
      await until(async () => house.node.hold.clusters.length === 1, "the requests are held");
      await house.program.listen(port);

      assert.deepEqual(
        (await Promise.all(answers)).map(({ text }) => text),
        ["hello-00001 /a", "hello-00001 /b"],
      );
    } finally {
      await house.close();
    }
  });
});
