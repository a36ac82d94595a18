/**
 * Isolates of who is not root, without a cluster: the provider keeps the contract, with user namespaces and where they are forbidden, and the cage holds. When the tests run as root, this file
 * runs itself a second time as a user that owns nothing else.
 * Run: node tools/node24.mjs test/e2e/rootless-runtime.e2e.ts
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import { loadImages } from "#images/load.ts";
import { ImagePuller } from "#images/pull.ts";
import { PodEngine } from "#kubelet/engine/pod-engine.ts";
import { silentEvents } from "#kubelet/events.ts";
import { type ProviderUnderTest, providerSuite } from "#kubelet/provider-suite.ts";
import { MemoryObjects } from "#kubelet/testing/engine-house.ts";
import { systemMounts } from "#kubelet/volumes/mounts.ts";
import { VolumeManager } from "#kubelet/volumes/volume-manager.ts";
import { ImagesService } from "#providers/containers/images-service.ts";
import { createRootlessIsolatesProvider } from "#providers/isolates/create.ts";
import { AddressPool } from "#runtime/addresses.ts";
import { destroyRootlessRuntime } from "#runtime/rootless/destroy.ts";
import { openRootlessEngine } from "#runtime/rootless/rootless-engine.ts";
import { type NamespaceSupport, probeUserNamespaces } from "#runtime/rootless/user-namespaces.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import { attempt, attempts, startPerl, whyNoAttempts } from "../support/cage-attempts.ts";

const variable = "NODELESS_TEST_FOLDER";
const folder = process.env[variable];
const isRoot = process.getuid?.() === 0;
/** Nobody's on this machine. */
const uid = 64_322;
const searchPath = process.env["PATH"] ?? "";
const clock = systemClock;
const logger = createLogger({ level: "error" });
const never = new AbortController().signal;

if (folder === undefined) {
  test("isolates without root keep the contract and their cage holds", async (context) => {
    const asUser = isRoot ? ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--inh-caps=-all"] : [];
    const [command, ...args] = [...asUser, process.execPath];
    if (spawnSync(command ?? "", [...args, "--check", import.meta.filename]).status !== 0)
      return context.skip("the repository is not for everybody to read, or setpriv is missing");
    assert.equal(await runAsUser([...asUser, process.execPath, ...process.execArgv, import.meta.filename]), 0);
  });
} else {
  const namespaces = await probeUserNamespaces(searchPath);
  providerSuite("pod engine on isolates without namespaces", () => makeProvider(join(folder, "b"), { why: "a test" }));
  if ("prefix" in namespaces) {
    providerSuite("pod engine on isolates without root", () => makeProvider(join(folder, "n"), namespaces));
    defineAttempts(join(folder, "c"), namespaces);
  } else test("user namespaces", { skip: namespaces.why }, () => {});
}

async function runAsUser([command, ...args]: readonly string[]): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), "nl-user-"));
  if (isRoot) chownSync(home, uid, uid);
  try {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(command ?? "", args, {
      stdio: "inherit",
      env: { ...env, HOME: home, [variable]: home },
      timeout: 120_000,
      killSignal: "SIGKILL",
    });
    const [code] = (await once(child, "exit")) as [number | null];
    return code ?? 1;
  } finally {
    for (const part of ["b", "n", "c"]) await destroyRootlessRuntime(join(home, part, "state"));
    rmSync(home, { recursive: true, force: true });
  }
}

/** What shares the machine's network and its user can do; and root of a user namespace is root by name only. */
const notPrevented = [
  "become root",
  "join root's group",
  "the node's listener on its loopback",
  "a socket without a name of the node's",
];

function defineAttempts(root: string, namespaces: NamespaceSupport): void {
  describe("an isolate's cage without root", { skip: whyNoAttempts() }, () => {
    let engine: CagingEngine;
    let server: Server;
    let neighbour = 0;
    const helpers: ChildProcess[] = [];
    const alive = setInterval(() => {}, 60_000);

    before(async () => {
      const images = new ImageStore({ folder: join(root, "images"), clock });
      await images.open();
      engine = await openRootlessEngine({ ...place(root), images, namespaces, searchPath, clock, logger });
      server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      helpers.push(spawn(process.execPath, ["-e", "require('net').createServer().listen('\\0nodeless-cage-user')"]));
      neighbour = engine.containers.runningProcess(await startPerl(root, engine, "neighbour", "sleep 1000")).pid;
    });
    after(async () => {
      for (const helper of helpers) helper.kill("SIGKILL");
      server.close();
      for (const { id } of engine.containers.list()) await engine.containers.remove(id);
      engine.close();
      clearInterval(alive);
    });

    for (const [subject, listed] of Object.entries(attempts)) {
      it(`keeps to itself: ${subject}`, async () => {
        const { port } = server.address() as { readonly port: number };
        const facts = { agent: process.pid, neighbour, loopbackPort: port, abstract: "nodeless-cage-user" };
        const prevented = listed.filter(([title]) => !notPrevented.includes(title));

        const outcomes = await attempt(root, engine, { ...facts, control: join(root, "r", "c") }, prevented);

        assert.deepEqual(
          outcomes.map((line) => line.replace(/failed: .*/, "failed")),
          prevented.map(([title]) => `${title}: failed`),
          outcomes.join("\n"),
        );
      });
    }

    it("has only what it needs: files, one process, no capabilities, a filter", async () => {
      const [listing] = await attempt(root, engine, {}, [
        ["files", 'do { opendir(my $d, "/"); print join(" ", sort grep { !/^\\./ } readdir($d)), "\\n"; 0 }'],
      ]);
      const status = readFileSync(`/proc/${neighbour}/status`, "utf8");

      assert.equal(listing, "dev etc lib lib64 loader.bin perl workerd");
      assert.match(status, /^CapEff:\s+0+$/m);
      assert.match(status, /^CapBnd:\s+0+$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.match(status, /^Seccomp:\s+2$/m);
      assert.match(status, /^NSpid:\s+\d+\s+1$/m);
    });

    it("cannot have more processes than it is allowed", async () => {
      const [line] = await attempt(root, engine, {}, [
        [
          "fork without end",
          "do { my $n = 0; while (defined(my $p = fork())) { if (!$p) { sleep 5; exit } $n++; last if $n > 500 } $n > 500 }",
        ],
      ]);

      assert.match(line ?? "", /failed/);
    });
  });
}

function place(root: string) {
  return { stateFolder: join(root, "state"), runFolder: join(root, "r"), addresses: new AddressPool("127.254.1.0/24") };
}

async function makeProvider(root: string, namespaces: NamespaceSupport): Promise<ProviderUnderTest> {
  const images = new ImageStore({ folder: join(root, "images"), clock });
  await images.open();
  const bundle = join(root, "bundle");
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "index.js"), "export default { fetch: () => new Response() }");
  await loadImages(images, bundle);
  const runtime = createRootlessIsolatesProvider({
    ...place(root),
    images,
    namespaces,
    searchPath,
    ranges: ["127.254.0.0/16"],
    certificateFiles: [],
    cgroupParent: "/suite",
    poolSize: 2,
    clock,
    logger,
  });
  await runtime.start();
  const folders = { root: join(root, "kubelet"), logs: join(root, "pod-logs") };
  mkdirSync(folders.root, { recursive: true });
  const objects = new MemoryObjects();
  const allocatable = () => ({ cpu: "2", memory: "4Gi" });
  const common = { folders, objects, clock, logger };
  const volumes = new VolumeManager({ ...common, mounts: await systemMounts(), hostIPs: [], allocatable });
  const puller = new ImagePuller({ store: images, settings: { certificateFolders: [] } });
  const engine = new PodEngine({
    ...common,
    runtime,
    images: new ImagesService({ store: images, puller }),
    volumes,
    events: silentEvents,
    node: {
      hostIPs: ["127.0.0.1"],
      clusterDns: [],
      clusterDomain: "cluster.local",
      memoryBytes: 4 * 2 ** 30,
      allocatable,
      pidsLimit: undefined,
      resolvConf: "/etc/resolv.conf",
      seccompFolder: folders.root,
    },
  });
  await engine.start(never);
  const alive = setInterval(() => {}, 60_000);
  return {
    provider: engine,
    image: "bundle",
    async close() {
      for (const { ref } of await engine.listPods()) await engine.deletePod(ref, 0, never);
      await engine.stop();
      await runtime.stop();
      clearInterval(alive);
    },
  };
}
