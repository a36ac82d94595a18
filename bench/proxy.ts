/**
 * What a request costs the L7 engine, beside HAProxy and nginx (Debian's, where they are installed) in the same run: CPU per request and requests per second and core, for kept connections, TLS, HTTP/2 and new
 * connections. Each proxy is one process with one thread; load and backend are processes of their own. `npm run bench -- proxy [--json] [--requests=N] [--only=PROXY] [--load=MODE] [--profile=FOLDER]`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { createCa } from "#component-base/x509.ts";
import { bundleOptions } from "../tools/bundle-options.ts";
import { cpuMicros, memoryOf } from "./api/process-cost.ts";
import type { LoadPhase, LoadResult } from "./proxy/load.ts";
import { findProgram, type PeerPlace, type RunningProxy, startHaproxy, startNginx } from "./proxy/peers.ts";

type Row = {
  readonly proxy: string;
  readonly what: string;
  readonly "CPU µs": number;
  readonly "per core": number;
  readonly "seen/s": number;
  readonly "p50 ms": number;
  readonly "p99 ms": number;
  readonly "client µs": number;
  readonly failed: number;
  readonly "RSS MB": number;
};

const root = resolve(import.meta.dirname, "..");
const isJson = process.argv.includes("--json");
const requests = Number(optionOf("requests") ?? 60_000);
const profile = optionOf("profile");
const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-proxy-"));
const children: ChildProcess[] = [];

/** Kinds of load; those that cost more get fewer requests. */
const phases: readonly {
  readonly what: string;
  readonly mode: LoadPhase["mode"];
  readonly share: number;
  readonly isTls: boolean;
}[] = [
  { what: "HTTP/1.1 kept, cleartext", mode: "keep-alive", share: 1, isTls: false },
  { what: "HTTP/1.1 kept, TLS", mode: "tls", share: 0.7, isTls: true },
  { what: "HTTP/2, TLS", mode: "http2", share: 0.4, isTls: true },
  { what: "new connections, cleartext", mode: "new-connections", share: 0.1, isTls: false },
  { what: "new connections, TLS", mode: "tls-new", share: 0.03, isTls: true },
];

function optionOf(name: string): string | undefined {
  return process.argv.find((it) => it.startsWith(`--${name}=`))?.split("=")[1];
}

async function start(
  file: string,
  args: readonly string[] = [],
  execArgv: readonly string[] = [],
): Promise<{ child: ChildProcess; said: Record<string, number> }> {
  const child = fork(join(folder, `${file}.js`), args, { execArgv: [...execArgv] });
  children.push(child);
  const [said] = (await once(child, "message")) as [Record<string, number>];
  return { child, said };
}

async function freePorts(): Promise<{ port: number; tlsPort: number }> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.push((server.address() as { port: number }).port);
  }
  for (const server of servers) server.close();
  return { port: ports[0] ?? 0, tlsPort: ports[1] ?? 0 };
}

async function startProxies(backendPort: number): Promise<RunningProxy[]> {
  const day = 86_400_000;
  const validity = { notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day };
  const ca = createCa({ subject: { commonName: "bench" }, usages: [], ...validity });
  const own = issueServerCertificate(ca, { commonName: "bench", addresses: ["127.0.0.1"], clock: systemClock });
  const [certificateFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certificateFile, own.certificate);
  writeFileSync(keyFile, own.privateKey);
  const proxies: RunningProxy[] = [];
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  for (const [name, ...more] of [["nodeless"], ["nodeless with access log", "log"]] as const) {
    const { child, said } = await start(
      "our-proxy",
      [String(backendPort), certificateFile, keyFile, ...more],
      profiling,
    );
    proxies.push({
      name,
      pid: child.pid ?? 0,
      port: said["port"] ?? 0,
      tlsPort: said["tlsPort"] ?? 0,
      stop: () => child.disconnect(),
    });
  }
  const { child, said } = await start("bytes-only", [String(backendPort)]);
  proxies.push({
    name: "Node, bytes only",
    pid: child.pid ?? 0,
    port: said["port"] ?? 0,
    tlsPort: 0,
    stop: () => child.disconnect(),
  });
  for (const [name, startPeer] of [
    ["haproxy", startHaproxy],
    ["nginx", startNginx],
  ] as const) {
    const program = findProgram(name);
    if (program === undefined) {
      console.error(`${name} is not installed: not measured (apt-get install -y ${name})`);
      continue;
    }
    const place: PeerPlace = { folder, backendPort, certificateFile, keyFile, ...(await freePorts()) };
    proxies.push(startPeer(program, place));
  }
  await sleep(300);
  return proxies;
}

async function measure(load: ChildProcess, proxy: RunningProxy, phase: (typeof phases)[number]): Promise<Row> {
  const port = phase.isTls ? proxy.tlsPort : proxy.port;
  const ask = async (count: number): Promise<LoadResult> => {
    load.send({ port, mode: phase.mode, connections: 32, requests: count } satisfies LoadPhase);
    return ((await once(load, "message")) as [LoadResult])[0];
  };
  const count = Math.round(requests * phase.share);
  // Until V8 has compiled what is measured.
  await ask(Math.round(count / 2));
  const before = cpuMicros([proxy.pid]);
  const result = await ask(count);
  const micros = (cpuMicros([proxy.pid]) - before) / count;
  return {
    proxy: proxy.name,
    what: phase.what,
    "CPU µs": Math.round(micros * 10) / 10,
    "per core": Math.round(1e6 / micros),
    "seen/s": result.perSecond,
    "p50 ms": Math.round(result.p50Ms * 100) / 100,
    "p99 ms": Math.round(result.p99Ms * 100) / 100,
    "client µs": Math.round(result.clientCpuMicros * 10) / 10,
    failed: result.failed,
    "RSS MB": Math.round(memoryOf([proxy.pid]).rssMb),
  };
}

/** On a busy machine the whole takes minutes. */
function told(row: Row): Row {
  if (!isJson) console.error(`${row.what}: ${row.proxy}: ${row["CPU µs"]} µs of CPU a request`);
  return row;
}

async function main(): Promise<void> {
  const entryPoints = ["backend", "load", "our-proxy", "bytes-only"].map((name) =>
    join(import.meta.dirname, "proxy", `${name}.ts`),
  );
  await build({ ...bundleOptions(root), entryPoints, outdir: folder, external: ["*.node"] });
  const backend = await start("backend");
  const load = fork(join(folder, "load.js"), []);
  children.push(load);
  const proxies = await startProxies(backend.said["port"] ?? 0);
  const rows: Row[] = [];
  const only = optionOf("only");
  const chosen = proxies.filter(({ name }) => only === undefined || name === only);
  const kinds = phases.filter(({ mode }) => (optionOf("load") ?? mode) === mode);
  for (const phase of kinds) {
    // What passes bytes on without reading them does not end connections either.
    const able = chosen.filter(({ tlsPort }) => phase.mode === "keep-alive" || tlsPort !== 0);
    for (const proxy of able) rows.push(told(await measure(load, proxy, phase)));
  }
  for (const proxy of proxies) proxy.stop();
  if (isJson) console.log(JSON.stringify(rows, null, 2));
  else console.table(rows);
}

try {
  await main();
} finally {
  for (const child of children) if (child.connected) child.disconnect();
  await sleep(profile === undefined ? 0 : 500);
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
