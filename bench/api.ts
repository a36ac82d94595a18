/**
 * Measures the API server over HTTPS and HTTP/2 on the durable store: creates, gets, merge patches and deletes with 1 and 64 clients, lists of 10,000 pods in each form. `node tools/node24.mjs bench/api.ts`.
 * The server runs in a process of its own, the clients in this one.
 */
import { fork } from "node:child_process";
import { type ClientHttp2Session, connect } from "node:http2";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import { createApiServer } from "#apiserver/api-server.ts";
import { createClusterAccess } from "#apiserver/cluster-access.ts";
import { ensurePki, issueClientCertificate } from "#component-base/certificates.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";

type Access = { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string };

const SESSIONS = 4;
const pods = "/api/v1/namespaces/default/pods";
const configMaps = "/api/v1/namespaces/default/configmaps";

/** Upstream on the same machine, per second. */
const upstream: Readonly<Record<string, number>> = { create: 993, get: 1962, "merge patch": 759, delete: 1195 };

async function serve(folder: string): Promise<void> {
  const logger = createLogger({ level: "warn" });
  const pki = await ensurePki(join(folder, "pki"), { serverAddresses: ["127.0.0.1"], clock });
  const store = await openLmdbStore({ folder: join(folder, "store"), clock, logger });
  const server = createApiServer({
    store,
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: createClusterAccess({
      clientCa: pki.ca.certificate,
      frontProxyCa: pki.frontProxyCa.certificate,
      serviceAccountKey: pki.serviceAccountKey.privateKey,
      issuer: "https://kubernetes.default.svc.cluster.local",
      publicAddress: "127.0.0.1",
      clock,
      logger,
    }),
    clock,
    logger,
    https: {
      addresses: ["127.0.0.1"],
      port: 0,
      serving: { certificate: pki.server.certificate, key: pki.server.privateKey },
      clientCa: pki.ca.certificate,
    },
  });
  await server.start(new AbortController().signal);
  const admin = issueClientCertificate(pki.ca, { commonName: "admin", organizations: ["system:masters"], clock });
  process.send?.({ port: server.port, ca: pki.ca.certificate, cert: admin.certificate, key: admin.privateKey });
  process.on("message", (message) => {
    if (message === "usage") process.send?.({ memory: process.memoryUsage(), cpu: process.cpuUsage() });
  });
  process.on("disconnect", () => process.exit(0));
}

class Api {
  readonly #sessions: ClientHttp2Session[];
  #next = 0;

  constructor(access: Access) {
    this.#sessions = Array.from({ length: SESSIONS }, () =>
      connect(`https://127.0.0.1:${access.port}`, { ...access, settings: { initialWindowSize: 16 << 20 } }),
    );
    for (const session of this.#sessions) session.once("connect", () => session.setLocalWindowSize(64 << 20));
  }

  request(
    method: string,
    path: string,
    options: { body?: string; type?: string; accept?: string } = {},
  ): Promise<Buffer> {
    const session = this.#sessions[this.#next++ % SESSIONS] as ClientHttp2Session;
    const { body, type = "application/json", accept = "application/json" } = options;
    return new Promise((resolve, reject) => {
      const stream = session.request({ ":method": method, ":path": path, "content-type": type, accept });
      const chunks: Buffer[] = [];
      let status = 0;
      stream.on("response", (headers) => (status = headers[":status"] ?? 0));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        const answer = Buffer.concat(chunks);
        if (status < 300) resolve(answer);
        else reject(new Error(`${method} ${path}: ${status} ${answer.toString().slice(0, 300)}`));
      });
      stream.end(body);
    });
  }

  close(): void {
    for (const session of this.#sessions) session.close();
  }
}

type Result = { readonly perSecond: number; readonly p50: number; readonly p99: number; readonly cpuMicros: number };
type Usage = { readonly memory: NodeJS.MemoryUsage; readonly cpu: NodeJS.CpuUsage };

/** Asks the server's process what it has used. */
class Meter {
  readonly #server: ReturnType<typeof fork>;

  constructor(server: ReturnType<typeof fork>) {
    this.#server = server;
  }

  read(): Promise<Usage> {
    this.#server.send("usage");
    return new Promise((resolve) => this.#server.once("message", (message) => resolve(message as Usage)));
  }

  async cpuMicros(): Promise<number> {
    const { user, system } = (await this.read()).cpu;
    return user + system;
  }
}

async function load(
  meter: Meter,
  clients: number,
  total: number,
  work: (index: number) => Promise<unknown>,
): Promise<Result> {
  const times: number[] = [];
  const cpuBefore = await meter.cpuMicros();
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < total) {
        const begun = performance.now();
        await work(next++);
        times.push(performance.now() - begun);
      }
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const cpuMicros = ((await meter.cpuMicros()) - cpuBefore) / total;
  return { perSecond: total / seconds, p50: at(0.5), p99: at(0.99), cpuMicros };
}

function show(name: string, clients: number, result: Result): void {
  const base = upstream[name];
  const ratio = base === undefined || clients !== 64 ? "" : ` ${(result.perSecond / base).toFixed(1)}× upstream`;
  const times = `p50 ${result.p50.toFixed(2)} ms, p99 ${result.p99.toFixed(2)} ms, server ${result.cpuMicros.toFixed(0)} µs CPU`;
  console.log(`${name}, ${clients} clients: ${result.perSecond.toFixed(0)}/s, ${times}${ratio}`);
}

function configMap(name: string): string {
  const labels = { app: "bench", tier: "web" };
  return JSON.stringify({ metadata: { name, labels }, data: { a: "x".repeat(300), b: "y".repeat(300) } });
}

function pod(name: string): string {
  const container = (index: number) => ({
    name: `c${index}`,
    image: "registry.example.com/team/app:1.2.3",
    args: ["--port=8080", "--level=info"],
    env: Array.from({ length: 8 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `value-${i}` })),
    ports: [{ containerPort: 8080 + index, name: `http${index}` }],
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "1", memory: "256Mi" } },
    readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 10 },
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  });
  const metadata = { name, labels: { app: "bench", tier: "web" } };
  const volumes = [{ name: "data", emptyDir: {} }];
  return JSON.stringify({ metadata, spec: { nodeName: "n1", containers: [container(0), container(1)], volumes } });
}

async function run(access: Access, server: ReturnType<typeof fork>): Promise<void> {
  const api = new Api(access);
  const meter = new Meter(server);
  await api.request("POST", "/api/v1/namespaces/default/serviceaccounts", { body: '{"metadata":{"name":"default"}}' });
  for (const clients of [1, 64]) {
    const total = clients === 1 ? 1000 : 10_000;
    const name = (index: number): string => `c${clients}-${index}`;
    const merge = { type: "application/merge-patch+json" };
    show(
      "create",
      clients,
      await load(meter, clients, total, (i) => api.request("POST", configMaps, { body: configMap(name(i)) })),
    );
    show(
      "get",
      clients,
      await load(meter, clients, total * 2, (i) => api.request("GET", `${configMaps}/${name(i % total)}`)),
    );
    show(
      "merge patch",
      clients,
      await load(meter, clients, total, (i) =>
        api.request("PATCH", `${configMaps}/${name(i)}`, { ...merge, body: `{"data":{"c":"${i}"}}` }),
      ),
    );
    show(
      "delete",
      clients,
      await load(meter, clients, total, (i) => api.request("DELETE", `${configMaps}/${name(i)}`)),
    );
  }
  show(
    "create pod",
    64,
    await load(meter, 64, 10_000, (i) => api.request("POST", pods, { body: pod(`p-${String(i).padStart(5, "0")}`) })),
  );
  await lists(api);
  const { memory } = await meter.read();
  console.log(
    `memory after that: ${(memory.rss / 1e6).toFixed(0)} MB resident, ${(memory.heapUsed / 1e6).toFixed(0)} MB heap`,
  );
  api.close();
}

async function lists(api: Api): Promise<void> {
  const forms = {
    JSON: "application/json",
    protobuf: "application/vnd.kubernetes.protobuf",
    Table: "application/json;as=Table;v=v1;g=meta.k8s.io",
  };
  for (const [name, accept] of Object.entries(forms)) {
    for (const which of ["first", "second"]) {
      const started = performance.now();
      const { length } = await api.request("GET", pods, { accept });
      const ms = performance.now() - started;
      console.log(`list of 10,000 pods, ${name}, ${which}: ${ms.toFixed(0)} ms, ${(length / 1e6).toFixed(1)} MB`);
    }
  }
  const started = performance.now();
  let next = "";
  let pages = 0;
  do {
    const answer = await api.request("GET", `${pods}?limit=500${next === "" ? "" : `&continue=${next}`}`);
    next = /"continue":"([^"]*)"/.exec(answer.subarray(0, 400).toString())?.[1] ?? "";
    pages++;
  } while (next !== "");
  console.log(`pages of 500: ${((pages / (performance.now() - started)) * 1000).toFixed(0)}/s`);
}

if (process.send !== undefined) await serve(process.argv[2] ?? "");
else {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-"));
  const execArgv = (process.env["BENCH_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "");
  const server = fork(fileURLToPath(import.meta.url), [folder], { execArgv });
  try {
    await run(
      await new Promise<Access>((resolve) => server.once("message", (message) => resolve(message as Access))),
      server,
    );
  } finally {
    server.disconnect();
    rmSync(folder, { recursive: true, force: true });
  }
}
