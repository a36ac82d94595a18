/**
 * What is measured: our API server, upstream's with its etcd, and an empty HTTP/2 server; each as processes of their own that are gone afterwards.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { bundleOptions } from "../../tools/bundle-options.ts";
import { ensurePki, issueClientCertificate } from "#component-base/certificates.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import type { Access } from "./http2-client.ts";
import type { PeerBinaries } from "./peer-binaries.ts";

/** A server that runs. */
export type Target = {
  readonly name: string;
  readonly access: Access;
  readonly pids: readonly number[];
  /** Our own processes profile themselves. */
  readonly child?: ChildProcess;
  readonly stop: () => Promise<void>;
};

const root = resolve(import.meta.dirname, "../..");

/** Our API server, bundled as the product is. */
export async function startOurs(folder: string): Promise<Target> {
  const outdir = join(root, "dist/bench");
  rmSync(outdir, { recursive: true, force: true });
  await build({ ...bundleOptions(root), entryPoints: [join(root, "bench/api/our-server.ts")], outdir });
  const child = fork(join(outdir, "our-server.js"), [folder], {
    execArgv: ["--max-semi-space-size=16", ...nodeOptions()],
  });
  const access = await firstMessage<Access>(child);
  return { name: "nodeless", access, pids: [child.pid ?? 0], child, stop: () => stop([child]) };
}

/** The empty server. */
export async function startEmpty(folder: string): Promise<Target> {
  const { ca, server } = await ensurePki(join(folder, "pki"), { serverAddresses: ["127.0.0.1"], clock });
  const files = { certificate: join(folder, "server.crt"), key: join(folder, "server.key") };
  writeFileSync(files.certificate, server.certificate);
  writeFileSync(files.key, server.privateKey);
  const child = fork(join(import.meta.dirname, "empty-server.ts"), [files.certificate, files.key]);
  const { port } = await firstMessage<{ readonly port: number }>(child);
  const access = { port, ca: ca.certificate, cert: server.certificate, key: server.privateKey };
  return { name: "empty http2 server", access, pids: [child.pid ?? 0], stop: () => stop([child]) };
}

/** kube-apiserver with RBAC on one etcd, both with their defaults. */
export async function startUpstream(folder: string, binaries: PeerBinaries): Promise<Target> {
  const pki = await ensurePki(join(folder, "pki"), { serverAddresses: ["127.0.0.1"], clock });
  const files: Readonly<Record<string, string>> = {
    "ca.crt": pki.ca.certificate,
    "server.crt": pki.server.certificate,
    "server.key": pki.server.privateKey,
    "sa.key": pki.serviceAccountKey.privateKey,
    "sa.pub": pki.serviceAccountKey.publicKey,
  };
  mkdirSync(join(folder, "run"), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
  const [clientUrl, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
  const etcd = spawn(
    binaries.etcd,
    [
      `--data-dir=${join(folder, "etcd")}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      "--log-level=error",
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  const path = (name: string) => join(folder, name);
  const apiserver = spawn(
    binaries.apiserver,
    [
      `--etcd-servers=${clientUrl}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=127.0.0.1",
      `--secure-port=${port}`,
      `--cert-dir=${path("run")}`,
      `--client-ca-file=${path("ca.crt")}`,
      `--tls-cert-file=${path("server.crt")}`,
      `--tls-private-key-file=${path("server.key")}`,
      `--service-account-key-file=${path("sa.pub")}`,
      `--service-account-signing-key-file=${path("sa.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      "--service-cluster-ip-range=10.43.0.0/16",
      "--authorization-mode=Node,RBAC",
      "--v=0",
    ],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  const admin = issueClientCertificate(pki.ca, { commonName: "admin", organizations: ["system:masters"], clock });
  const access = { port, ca: pki.ca.certificate, cert: admin.certificate, key: admin.privateKey };
  const target = {
    name: "upstream",
    access,
    pids: [apiserver.pid ?? 0, etcd.pid ?? 0],
    stop: () => stop([apiserver, etcd]),
  };
  try {
    await untilReady(port, apiserver);
  } catch (error) {
    await target.stop();
    throw error;
  }
  return target;
}

// `NODELESS_BENCH_NODE_OPTIONS="--cpu-prof"` and the like.
function nodeOptions(): string[] {
  return (process.env["NODELESS_BENCH_NODE_OPTIONS"] ?? "").split(" ").filter((option) => option !== "");
}

function firstMessage<T>(child: ChildProcess): Promise<T> {
  return new Promise((done, fail) => {
    child.once("message", (message) => done(message as T));
    child.once("exit", (code) => fail(new Error(`a server ended with ${code} before it listened`)));
  });
}

async function stop(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
  }
}

async function untilReady(port: number, apiserver: ChildProcess): Promise<void> {
  for (const end = Date.now() + 120_000; Date.now() < end; await sleep(50)) {
    if (apiserver.exitCode !== null) throw new Error(`kube-apiserver ended with ${apiserver.exitCode}`);
    if (await isReady(port)) return;
  }
  throw new Error("kube-apiserver was not ready within 120 s");
}

function isReady(port: number): Promise<boolean> {
  return new Promise((done) => {
    const options = { host: "127.0.0.1", port, path: "/readyz", rejectUnauthorized: false, agent: false };
    request(options, (answer) => void answer.resume().on("end", () => done(answer.statusCode === 200)))
      .on("error", () => done(false))
      .end();
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
