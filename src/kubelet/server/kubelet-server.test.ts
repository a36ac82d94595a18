import assert from "node:assert/strict";
import { Agent, request as requestHttps } from "node:https";
import { describe, it } from "node:test";
import type { Client } from "#client/client.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createCa, issueCertificate } from "#component-base/x509.ts";
import type { KeyPair } from "#component-base/x509.ts";
import type { LogOptions, PodRef } from "#kubelet/provider.ts";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { KubeletServer } from "./kubelet-server.ts";
import type { StreamTarget } from "./stream-seam.ts";

type Answer = { readonly code: number; readonly type: string; readonly body: string };
type House = {
  readonly get: (path: string, as?: KeyPair, headers?: Record<string, string>) => Promise<Answer>;
  readonly master: KeyPair;
  readonly stranger: KeyPair;
  readonly asked: { readonly ref: PodRef; readonly container: string; readonly options: LogOptions }[];
  readonly targets: StreamTarget[];
};

const times = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
const ca = createCa({ subject: { commonName: "test" }, usages: ["cert sign"], ...times });
const certificateFor = (commonName: string, organizations: readonly string[], usage: "client auth" | "server auth") =>
  issueCertificate(ca, { subject: { commonName, organizations }, usages: [usage], addresses: ["127.0.0.1"], ...times });

async function withServer(body: (house: House) => Promise<void>): Promise<void> {
  const clock = new FakeClock();
  const asked: House["asked"] = [];
  const targets: StreamTarget[] = [];
  const own = certificateFor("system:node:n1", ["system:nodes"], "server auth");
  const server = new KubeletServer({
    host: "127.0.0.1",
    port: 0,
    certificate: own.certificate,
    key: own.privateKey,
    clientCa: ca.certificate,
    nodeName: "n1",
    client: { create: async () => ({ status: { allowed: false } }) } as unknown as Client,
    pods: () => [podOf("web", [{}])],
    streams: {
      logs: async (ref, container, options) => {
        asked.push({ ref, container, options });
        return (async function* () {
          yield Buffer.from("one\n");
          yield Buffer.from("two\n");
        })();
      },
      exec: async () => 0,
    },
    statistics: async () => ({
      startTimeMs: 0,
      cpuUsageNanoseconds: 5e9,
      memoryUsageBytes: 10,
      memoryWorkingSetBytes: 8,
      memoryAvailableBytes: 90,
      nanoCores: new Map(),
      pods: [
        {
          ref: { namespace: "default", name: "web", uid: "uid-web" },
          network: [{ name: "eth0", rxBytes: 7, rxErrors: 0, txBytes: 9, txErrors: 0 }],
          containers: [
            {
              name: "main",
              startTimeMs: 1000,
              cpuUsageNanoseconds: 2e9,
              memoryWorkingSetBytes: 4,
              memoryUsageBytes: 6,
            },
          ],
        },
      ],
    }),
    probeMetrics: () => "prober_probe_total 1\n",
    machine: { cpus: 2, memoryBytes: 100 },
    onStream: ({ target, socket }) => {
      targets.push(target);
      socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\n");
    },
    clock,
    logger: silentLogger,
  });
  await server.start(new AbortController().signal);
  const master = certificateFor("kube-apiserver-kubelet-client", ["system:masters"], "client auth");
  const stranger = certificateFor("jane", ["devs"], "client auth");
  try {
    await body({ get: (path, as, headers) => get(server.port, path, as, headers), master, stranger, asked, targets });
  } finally {
    await server.stop();
  }
}

function get(port: number, path: string, as?: KeyPair, headers: Record<string, string> = {}): Promise<Answer> {
  const agent = new Agent({ keepAlive: false });
  const identity = as ? { cert: as.certificate, key: as.privateKey } : {};
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = requestHttps({ host: "127.0.0.1", port, path, agent, ca: ca.certificate, headers, ...identity });
  request.on("error", reject);
  request.on("upgrade", (response, socket) => {
    socket.destroy();
    resolve({ code: response.statusCode ?? 0, type: "", body: "" });
  });
  request.on("response", (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      resolve({ code: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", body });
    });
  });
  request.end();
  return promise;
}

describe("the node's API", () => {
  it("lets nobody in without a certificate of the cluster, and others only as RBAC says", async () => {
    await withServer(async ({ get: ask, stranger }) => {
      assert.equal((await ask("/pods")).code, 401);
      const answer = await ask("/pods", stranger);
      assert.equal(answer.code, 403);
      assert.match(answer.body, /^Forbidden \(user=jane, verb=get, resource=nodes, subresource\(s\)=\[pods proxy\]\)/);
    });
  });

  it("answers logs with the options of the query", async () => {
    await withServer(async ({ get: ask, master, asked }) => {
      const answer = await ask("/containerLogs/default/web/main?tailLines=5&timestamps=true&follow=true", master);

      assert.equal(answer.body, "one\ntwo\n");
      assert.equal(answer.type, "text/plain");
      assert.deepEqual(asked[0]?.options, {
        follow: true,
        previous: false,
        timestamps: true,
        stream: "All",
        tailLines: 5,
      });
      assert.equal(asked[0]?.container, "main");
    });
  });

  it("says which pod or container is not there, and refuses senseless options", async () => {
    await withServer(async ({ get: ask, master }) => {
      assert.deepEqual(
        [
          await ask("/containerLogs/default/none/main", master),
          await ask("/containerLogs/default/web/none", master),
        ].map((it) => [it.code, it.body]),
        [
          [404, 'pod "none" does not exist'],
          [404, 'container "none" not found in pod "web"'],
        ],
      );
      assert.equal((await ask("/containerLogs/default/web/main?tailLines=-1", master)).code, 422);
      assert.equal((await ask("/containerLogs/default/web/main?tailLines=x", master)).code, 400);
      assert.equal(
        (await ask("/containerLogs/default/web/main?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", master)).code,
        422,
      );
    });
  });

  it("lists pods and tells what they use", async () => {
    await withServer(async ({ get: ask, master }) => {
      const pods = JSON.parse((await ask("/pods", master)).body) as {
        kind: string;
        items: { metadata: { name: string } }[];
      };
      assert.deepEqual([pods.kind, pods.items.map((it) => it.metadata.name)], ["PodList", ["web"]]);
      const summary = JSON.parse((await ask("/stats/summary", master)).body) as {
        node: { nodeName: string };
        pods: { containers: unknown[] }[];
      };
      assert.equal(summary.node.nodeName, "n1");
      assert.equal(summary.pods[0]?.containers.length, 1);
      const metrics = (await ask("/metrics/resource", master)).body;
      assert.match(
        metrics,
        /^container_cpu_usage_seconds_total\{container="main",namespace="default",pod="web"\} 2 \d+$/m,
      );
      assert.match(metrics, /^pod_memory_working_set_bytes\{namespace="default",pod="web"\} 4 \d+$/m);
      assert.match((await ask("/metrics", master)).body, /^kubelet_running_pods 0$/m);
      assert.match((await ask("/metrics/probes", master)).body, /^prober_probe_total 1$/m);
      const cadvisor = (await ask("/metrics/cadvisor", master)).body;
      assert.match(
        cadvisor,
        /^container_memory_working_set_bytes\{container="main",id="\/poduid-web\/",image="",name="",namespace="default",pod="web"\} 4 \d+$/m,
      );
      assert.match(cadvisor, /^container_cpu_usage_seconds_total\{container="",cpu="total",id="\/",.*\} 5 \d+$/m);
      assert.match(cadvisor, /^container_network_transmit_bytes_total\{.*interface="eth0",.*pod="web"\} 9 \d+$/m);
      assert.match(cadvisor, /^machine_cpu_cores 2$/m);
      assert.equal((await ask("/metrics/nothing", master)).code, 404);
      assert.equal((await ask("/healthz", master)).body, "ok");
    });
  });

  it("hands connections into containers to the streaming protocols", async () => {
    await withServer(async ({ get: ask, master, targets }) => {
      const upgrade = { connection: "Upgrade", upgrade: "SPDY/3.1" };
      const answer = await ask("/exec/default/web/main?command=ls&command=-l&output=1&error=1", master, upgrade);

      assert.equal(answer.code, 101);
      assert.deepEqual(targets[0], {
        kind: "exec",
        ref: { namespace: "default", name: "web", uid: "uid-web" },
        container: "main",
        command: ["ls", "-l"],
        tty: false,
        stdin: false,
        stdout: true,
        stderr: true,
      });
      assert.equal((await ask("/exec/default/web/main?command=ls", master, upgrade)).code, 400);
    });
  });
});
