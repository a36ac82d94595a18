/**
 * Isolates on this machine, without a cluster: the provider keeps the contract, and the cage holds. Root only.
 * Run: node tools/node24.mjs test/e2e/isolates-runtime.e2e.ts
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import { loadImages } from "#images/load.ts";
import { ImagePuller } from "#images/pull.ts";
import type { ContainerSpec, ContainerState } from "#kubelet/container-runtime.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import { PodEngine } from "#kubelet/engine/pod-engine.ts";
import { silentEvents } from "#kubelet/events.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { type ProviderUnderTest, providerSuite } from "#kubelet/provider-suite.ts";
import { MemoryObjects } from "#kubelet/testing/engine-house.ts";
import { systemMounts } from "#kubelet/volumes/mounts.ts";
import { VolumeManager } from "#kubelet/volumes/volume-manager.ts";
import { ImagesService } from "#providers/containers/images-service.ts";
import { createIsolatesProvider } from "#providers/isolates/create.ts";
import { inlineImage } from "#providers/isolates/inline-image.ts";
import type { IsolatesRuntime } from "#providers/isolates/isolates-runtime.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;

if (folder === undefined) {
  test("isolates keep the contract and their cage holds", { skip: !isRoot && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else {
  defineTests(folder);
}

function defineTests(root: string): void {
  describe("isolates", () => {
    let runtime: IsolatesRuntime;
    let count = 0;
    const changes: ContainerState[] = [];
    // The runtime's own timers do not keep a process alive; a node's process has servers that do.
    const alive = setInterval(() => {}, 60_000);

    before(async () => {
      runtime = await makeRuntime(root);
      runtime.onChange((state) => changes.push(state));
    });
    after(async () => {
      for (const { pod } of await runtime.listSandboxes()) await runtime.removeSandbox(pod);
      await runtime.stop();
      clearInterval(alive);
    });

    /** A pod with `source` as index.js, and more files; without those of `except`. */
    async function run(
      source: string,
      changed: Partial<ContainerSpec> = {},
      files: Files = {},
      except: readonly string[] = [],
    ): Promise<Started> {
      count++;
      const pod = { namespace: "suite", name: `pod-${count}`, uid: `uid-${count}` };
      const { ips } = await runtime.ensureSandbox(sandboxSpec(pod), never);
      const all = Object.entries({ "index.js": source, ...files }).filter(([name]) => !except.includes(name));
      const spec = isolateSpec(root, pod, Object.fromEntries(all), changed);
      const state = await runtime.startContainer(spec, never);
      return { pod, state, ip: ips[0] ?? "", logPath: spec.logPath };
    }

    it("answers requests at its port, with its environment, and logs what it says", async () => {
      const { pod, ip, logPath } = await run(
        `export default { async fetch(request, env) {
          console.log("asked for", new URL(request.url).pathname); console.error("careful");
          return new Response(env.GREETING + " " + process.env.GREETING + " " + await request.text());
        } }`,
        { env: [{ name: "GREETING", value: "hello" }], ports: [3000] },
      );

      const answer = await fetch(`http://${ip}:3000/path`, { method: "POST", body: "there" });

      assert.equal(await answer.text(), "hello hello there");
      const log = readFileSync(logPath, "utf8");
      assert.match(log, /^\S+ stdout F asked for \/path$/m);
      assert.match(log, /^\S+ stderr F careful$/m);
      assert.doesNotMatch(log, /executable/);
      await runtime.removeSandbox(pod);
    });

    it("has Node's timers, whoever asks for them first", async () => {
      const plain = await run(`export default { async fetch() {
        const timer = setTimeout(() => {}, 1); clearTimeout(timer);
        await new Promise((done) => setImmediate(done));
        globalThis.setInterval = "mine";
        return Response.json([timer.constructor.name, typeof timer.unref, setInterval]) } }`);
      const imported = await run(`import { setTimeout as wait } from "node:timers/promises";
        import { setTimeout as other } from "node:timers";
        export default { async fetch() { await wait(1);
          return Response.json([setTimeout(() => {}, 1).constructor.name, other === setTimeout]) } }`);

      assert.deepEqual(await (await fetch(`http://${plain.ip}:8080/`)).json(), ["Timeout", "function", "mine"]);
      assert.deepEqual(await (await fetch(`http://${imported.ip}:8080/`)).json(), ["Timeout", true]);
      await Promise.all([plain, imported].map(({ pod }) => runtime.removeSandbox(pod)));
    });

    it("listens at PORT where no port is named, else at 8080", async () => {
      const source = `export default { fetch: () => new Response("here") }`;
      const named = await run(source, { env: [{ name: "PORT", value: "81" }] });
      const plain = await run(source);

      assert.equal(await (await fetch(`http://${named.ip}:81/`)).text(), "here");
      assert.equal(await (await fetch(`http://${plain.ip}:8080/`)).text(), "here");
      await Promise.all([named, plain].map(({ pod }) => runtime.removeSandbox(pod)));
    });

    it("runs several modules: JavaScript, TypeScript, JSON, text, data, WebAssembly", async () => {
      // (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
      const wasm = "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b";
      const { pod, ip } = await run(
        "",
        {},
        {
          "package.json": `{ "main": "src/main.ts" }`,
          "src/main.ts": `
          import { double } from "./lib/double.ts"; import settings from "./settings.json";
          import words from "./words.txt"; import bytes from "./blob.bin"; import module from "./add.wasm";
          type Answer = { readonly sum: number };
          const { exports } = new WebAssembly.Instance(module);
          export default { fetch(): Response {
            const answer: Answer = { sum: (exports.add as Function)(double(settings.two), new Uint8Array(bytes)[0]) };
            return Response.json({ ...answer, words });
          } }`,
          "src/lib/double.ts": "export const double = (value: number): number => value * 2;",
          "src/settings.json": `{ "two": 2 }`,
          "src/words.txt": "some words",
          "src/blob.bin": Buffer.from([7]),
          "src/add.wasm": Buffer.from(wasm, "hex"),
          "index.js": "",
        },
      );

      assert.deepEqual(await (await fetch(`http://${ip}:8080/`)).json(), { sum: 11, words: "some words" });
      await runtime.removeSandbox(pod);
    });

    it("code that does not load is a container that failed: log, last words, exit code 1", async () => {
      for (const [source, words] of [
        [`throw new Error("no luck")`, /no luck/],
        ["export default {", /SyntaxError/],
        [`import "./absent.js"; export default { fetch() {} }`, /absent/],
        ["export const value = 1;", /index\.js has no default export with a fetch handler/],
      ] as const) {
        const file = join(root, `${count}.termination`);
        writeFileSync(file, "");
        const { pod, state, logPath } = await run(source, {
          mounts: [{ hostPath: file, containerPath: "/dev/termination-log", readOnly: false, propagation: "None" }],
        });

        const ended = await endOf(state.id);

        assert.equal(ended.exitCode, 1, source);
        assert.match(readFileSync(file, "utf8"), words);
        assert.match(readFileSync(logPath, "utf8"), words);
        await runtime.removeSandbox(pod);
      }
    });

    it("code that never finishes to load is ended", { timeout: 40_000 }, async () => {
      const { pod, state, logPath } = await run("while (true);");

      assert.equal((await endOf(state.id)).exitCode, 1);
      assert.match(readFileSync(logPath, "utf8"), /^\S+ stderr F index.js did not finish loading within 10 s$/m);
      await runtime.removeSandbox(pod);
    });

    it("an exception in a handler is an answer 500 and in the log, and the next request is answered", async () => {
      const { pod, ip, logPath } = await run(
        `export default { fetch(request) { if (request.url.endsWith("bad")) throw new Error("oh dear"); return new Response("good") } }`,
      );

      assert.equal((await fetch(`http://${ip}:8080/bad`)).status, 500);
      assert.equal(await (await fetch(`http://${ip}:8080/`)).text(), "good");
      assert.match(readFileSync(logPath, "utf8"), /oh dear/);
      await runtime.removeSandbox(pod);
    });

    it("streams bodies both ways and speaks WebSocket", async () => {
      const { pod, ip } = await run(`export default { fetch(request) {
        if (request.headers.get("upgrade") !== "websocket") return new Response(request.body);
        const [client, server] = Object.values(new WebSocketPair());
        server.accept(); server.addEventListener("message", ({ data }) => server.send("echo " + data));
        return new Response(null, { status: 101, webSocket: client });
      } }`);
      const big = "x".repeat(3_000_000);

      assert.equal(await (await fetch(`http://${ip}:8080/`, { method: "POST", body: big })).text(), big);
      const socket = new WebSocket(`ws://${ip}:8080/`);
      socket.addEventListener("open", () => socket.send("hi"));
      const { data } = await new Promise<MessageEvent>((resolve) => socket.addEventListener("message", resolve));
      assert.equal(data, "echo hi");
      socket.close();
      await runtime.removeSandbox(pod);
    });

    it("refuses by name what an isolate cannot have", async () => {
      const mount = { hostPath: root, readOnly: true, propagation: "None" as const };
      const refusals: readonly (readonly [Partial<ContainerSpec>, RegExp])[] = [
        [{ command: ["sh"] }, /command has no meaning/],
        [{ args: ["x"] }, /args have no meaning/],
        [{ security: { ...plainSecurity, privileged: true } }, /cannot be privileged/],
        [{ security: { ...plainSecurity, addCapabilities: ["NET_ADMIN"] } }, /cannot have capabilities/],
        [{ execs: ["readinessProbe"] }, /readinessProbe cannot run a command: .* use httpGet, tcpSocket or grpc there/],
        [{ mounts: [{ ...mount, containerPath: "/data" }] }, /a volume at \/data would not be visible/],
      ];
      for (const [changed, message] of refusals)
        await assert.rejects(run("export default { fetch() {} }", changed), {
          reason: "CreateContainerConfigError",
          message,
        });
      const shared = { ...sandboxSpec({ namespace: "suite", name: "x", uid: "x" }), hostNetwork: true };
      await assert.rejects(runtime.ensureSandbox(shared, never), { message: /hostNetwork is not possible/ });
      await assert.rejects(run("", {}, { "readme.md": "" }, ["index.js"]), { message: /it has none of index\.js/ });
    });

    it("reaches its neighbours, and nothing of the node's loopback or the cage", async () => {
      const neighbour = await run(`export default { fetch: () => new Response("neighbour") }`);
      const node = createServer((_, answer) => answer.end("node")).listen(0, "127.0.0.1");
      await once(node, "listening");
      const { port } = node.address() as { port: number };
      const { pod, ip } = await run(
        `import * as fs from "node:fs"; import process from "node:process";
        const tried = async (work) => { try { return String(await work()); } catch (error) { return "failed"; } };
        export default { async fetch(request, env) {
          const text = async (url) => (await fetch(url)).text();
          return Response.json({
            neighbour: await tried(() => text("http://${neighbour.ip}:8080/")),
            node: await tried(() => text("http://127.0.0.1:${port}/")),
            control: await tried(() => text("http://unix:/loader")),
            passwords: await tried(() => fs.readFileSync("/etc/shadow", "utf8")),
            processes: await tried(() => fs.readFileSync("/proc/1/environ", "utf8")),
            own: await tried(() => fs.readFileSync("/loader.bin")),
            program: await tried(async () => (await import("node:child_process")).execSync("id")),
            socket: await tried(async () => {
              const { connect } = await import("cloudflare:sockets");
              await connect("127.0.0.1:${port}").opened;
            }),
            code: await tried(() => new Function("return 1")()),
            bindings: Object.keys(env).join(),
            globals: Object.keys(globalThis).filter((name) => /loader|nodeless|control/i.test(name)).join(),
          });
        } }`,
        { env: [{ name: "OWN", value: "1" }] },
      );

      assert.deepEqual(await (await fetch(`http://${ip}:8080/`)).json(), {
        neighbour: "neighbour",
        node: "failed",
        control: "failed",
        passwords: "failed",
        processes: "failed",
        own: "failed",
        program: "failed",
        socket: "failed",
        code: "failed",
        bindings: "OWN",
        globals: "",
      });
      node.close();
      await Promise.all([neighbour.pod, pod].map((it) => runtime.removeSandbox(it)));
    });

    it("a memory eater is killed by its limit, and says so", { timeout: 60_000 }, async () => {
      const { pod, state, ip } = await run(
        `const kept = []; export default { fetch() { for (;;) kept.push(new Uint8Array(1 << 20).fill(1)); } }`,
        { resources: { memoryLimitBytes: 96 << 20 } },
      );

      await assert.rejects(fetch(`http://${ip}:8080/`));

      const ended = await endOf(state.id);
      assert.equal(ended.exitCode, 137);
      assert.equal(ended.oomKilled, true);
      await runtime.removeSandbox(pod);
    });

    it("a limit that leaves no room for the engine is refused or kills it, and leaves nothing", async () => {
      const pod = { namespace: "suite", name: "tiny", uid: "tiny" };
      const before = (await runtime.listSandboxes()).length;
      const resources = { memoryLimitBytes: 4 << 20 };

      const made = await runtime
        .ensureSandbox({ ...sandboxSpec(pod), resources }, never)
        .catch((error: Error) => error);

      if (made instanceof Error) {
        assert.match(made.message, /cannot bound the isolate to 4194304 bytes of memory/);
        assert.equal((await runtime.listSandboxes()).length, before);
      }
      await runtime.removeSandbox(pod);
    });

    it("a busy loop gets no more of the processor than its limit, and can be stopped", async () => {
      const { pod, state, ip } = await run("export default { fetch() { for (;;); } }", {
        resources: { cpuQuotaMicroseconds: 20_000, cpuPeriodMicroseconds: 100_000 },
      });
      fetch(`http://${ip}:8080/`).catch(() => {});
      const used = async () => {
        const all = await runtime.usage();
        return all.find((it) => it.pod.uid === pod.uid)?.containers[0]?.cpuUsageNanoseconds ?? 0;
      };
      await eventually(async () => (await used()) > 50_000_000);

      const before = { usedNs: await used(), atMs: performance.now() };
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const share = ((await used()) - before.usedNs) / 1e6 / (performance.now() - before.atMs);

      assert.ok(share < 0.27, `used ${share} of a processor`);
      await runtime.stopContainer(state.id, 1);
      assert.equal((await endOf(state.id)).exitCode, 137);
      await runtime.removeSandbox(pod);
    });

    it("ends gently: a request that is under way is answered", async () => {
      const { pod, state, ip } = await run(
        `export default { async fetch() { await new Promise((done) => setTimeout(done, 400)); return new Response("late") } }`,
      );
      const answer = fetch(`http://${ip}:8080/`);
      await new Promise((resolve) => setTimeout(resolve, 150));

      await runtime.stopContainer(state.id, 10);

      assert.equal(await (await answer).text(), "late");
      assert.equal((await endOf(state.id)).exitCode, 0);
      await runtime.removeSandbox(pod);
    });

    it("a pod like one that was here finds its code loaded; what another pod has as its code is never run for it", async () => {
      const source = `console.log("loaded"); let count = 0;
        export default { fetch: (_, env) => new Response(env.WHO + " " + ++count) }`;
      const changed = { env: [{ name: "WHO", value: "me" }], ports: [3000] };
      const ask = async ({ ip }: Started) => (await fetch(`http://${ip}:3000/`)).text();
      const first = await run(source, changed);
      assert.equal(await ask(first), "me 1");
      await runtime.removeSandbox(first.pod);
      // One must wait.
      await runtime.removeSandbox((await run(source, changed)).pod);
      await new Promise((resolve) => setTimeout(resolve, 1500));

      runtime.prepareLike(first.pod);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const second = await run(source, changed);
      assert.equal(await ask(second), "me 1");
      assert.equal(await ask(second), "me 2");
      assert.match(readFileSync(second.logPath, "utf8"), /^\S+ stdout F loaded$/m);
      await runtime.removeSandbox(second.pod);
      await new Promise((resolve) => setTimeout(resolve, 1500));

      runtime.prepareLike(first.pod);
      const other = await run(source, { ...changed, env: [{ name: "WHO", value: "other" }] });
      assert.equal(await ask(other), "other 1");
      await runtime.removeSandbox(other.pod);
    });

    it("the next attempt in the same pod has another process at the same address and port", async () => {
      const source = `let count = 0; export default { fetch: () => new Response(String(++count)) }`;
      const first = await run(source);
      await fetch(`http://${first.ip}:8080/`);
      await runtime.stopContainer(first.state.id, 0);
      await endOf(first.state.id);

      const spec = isolateSpec(
        root,
        first.pod,
        { "index.js": source },
        { attempt: 1, logPath: join(root, "logs", "second.log") },
      );
      const second = await runtime.startContainer(spec, never);

      assert.notEqual(second.id, first.state.id);
      assert.equal(await (await fetch(`http://${first.ip}:8080/`)).text(), "1");
      await runtime.removeSandbox(first.pod);
    });

    it("two containers of a pod share its address; one that wants the other's port is told", async () => {
      const source = `export default { fetch: (_, env) => new Response(env.WHO) }`;
      const first = await run(source, { env: [{ name: "WHO", value: "one" }], ports: [81] });
      const files = { "index.js": source };
      const other = { name: "two", env: [{ name: "WHO", value: "two" }], logPath: join(root, "logs", "two.log") };
      await runtime.startContainer(isolateSpec(root, first.pod, files, { ...other, ports: [82] }), never);

      assert.equal(await (await fetch(`http://${first.ip}:81/`)).text(), "one");
      assert.equal(await (await fetch(`http://${first.ip}:82/`)).text(), "two");
      const third = isolateSpec(root, first.pod, files, { ...other, name: "three", ports: [81] });
      await assert.rejects(runtime.startContainer(third, never), { message: /cannot listen at port 81: .*EADDRINUSE/ });
      await runtime.removeSandbox(first.pod);
    });

    it("its log goes on in a new file after it was rotated", async () => {
      const { pod, state, ip, logPath } = await run(
        `export default { fetch(request) { console.log(new URL(request.url).pathname); return new Response("") } }`,
      );
      await fetch(`http://${ip}:8080/before`);
      await eventually(() => readFileSync(logPath, "utf8").includes("/before"));

      renameSync(logPath, `${logPath}.1`);
      await runtime.reopenLog(state.id);

      await eventually(() => existsSync(logPath));
      await fetch(`http://${ip}:8080/after`);
      await eventually(() => readFileSync(logPath, "utf8").includes("/after"));
      assert.match(readFileSync(`${logPath}.1`, "utf8"), /before/);
      await runtime.removeSandbox(pod);
    });

    it("exec is refused, port-forward reaches the pod's own port", async () => {
      const { pod, state } = await run(`export default { fetch: () => new Response("forwarded") }`);

      await assert.rejects(runtime.exec(), /no programs/);
      const connection = await runtime.portForward(pod, 8080, never);
      connection.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
      let text = "";
      for await (const chunk of connection) text += Buffer.from(chunk as Uint8Array).toString();
      assert.match(text, /forwarded/);
      assert.equal(state.phase, "running");
      await runtime.removeSandbox(pod);
    });

    it("after a restart of the agent the same processes answer, and what waited for pods is gone", async () => {
      const { pod, state, ip } = await run(
        `let count = 0; export default { fetch: () => new Response(String(++count)) }`,
      );
      const leaving = await run("export default { fetch() { for (;;); } }");
      assert.equal(await (await fetch(`http://${ip}:8080/`)).text(), "1");

      await runtime.stop();
      runtime = await makeRuntime(root);
      runtime.onChange((changed) => changes.push(changed));

      const known = await runtime.listContainers();
      assert.deepEqual(
        known.map(({ id, phase }) => [id, phase]).sort(),
        [
          [state.id, "running"],
          [leaving.state.id, "running"],
        ].sort(),
      );
      assert.equal((await runtime.ensureSandbox(sandboxSpec(pod), never)).ips[0], ip);
      assert.equal(await (await fetch(`http://${ip}:8080/`)).text(), "2");
      await runtime.stopContainer(leaving.state.id, 0);
      assert.equal((await endOf(leaving.state.id)).exitCode, 137);
      await Promise.all([pod, leaving.pod].map((it) => runtime.removeSandbox(it)));
    });

    async function endOf(id: string): Promise<ContainerState> {
      await eventually(() => changes.some((state) => state.id === id && state.phase === "exited"));
      return changes.find((state) => state.id === id) as ContainerState;
    }
  });

  providerSuite("pod engine on isolates", () => makeProvider(root));
}

type Started = {
  readonly pod: PodRef;
  readonly state: ContainerState;
  readonly ip: string;
  readonly logPath: string;
};

type Files = Readonly<Record<string, string | Uint8Array>>;

async function makeRuntime(root: string): Promise<IsolatesRuntime> {
  const images = new ImageStore({ folder: join(root, "images"), clock: systemClock });
  await images.open();
  mkdirSync(join(root, "logs"), { recursive: true });
  const runtime = createIsolatesProvider({
    stateFolder: join(root, "state"),
    runFolder: join(root, "r"),
    images,
    certificateFiles: [],
    podCidr: "10.95.0.0/24",
    cgroupParent: testCgroup(root),
    linkPrefix: "nliso",
    searchPath: process.env["PATH"] ?? "",
    poolSize: 2,
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  });
  await runtime.start();
  return runtime;
}

async function makeProvider(root: string): Promise<ProviderUnderTest> {
  const logger = createLogger({ level: "error" });
  const runtime = await makeRuntime(root);
  const bundle = join(root, "bundle");
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "index.js"), "export default { fetch: () => new Response() }");
  const images = new ImageStore({ folder: join(root, "images"), clock: systemClock });
  await images.open();
  await loadImages(images, bundle);
  const folders = { root: join(root, "kubelet"), logs: join(root, "pod-logs") };
  mkdirSync(folders.root, { recursive: true });
  const objects = new MemoryObjects();
  const allocatable = () => ({ cpu: "2", memory: "4Gi" });
  const common = { folders, objects, clock: systemClock, logger };
  const volumes = new VolumeManager({ ...common, mounts: await systemMounts(), hostIPs: [], allocatable });
  const engine = new PodEngine({
    ...common,
    runtime,
    images: new ImagesService({
      store: images,
      puller: new ImagePuller({ store: images, settings: { certificateFolders: [] } }),
    }),
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
  return {
    provider: engine,
    image: "bundle",
    async close() {
      for (const { ref } of await engine.listPods()) await engine.deletePod(ref, 0, never);
      await engine.stop();
      await runtime.stop();
    },
  };
}

function isolateSpec(root: string, pod: PodRef, files: Files, changed: Partial<ContainerSpec>): ContainerSpec {
  const bundle = join(root, "bundles", pod.uid);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(bundle, name)), { recursive: true });
    writeFileSync(join(bundle, name), content);
  }
  const { mounts = [], ...rest } = changed;
  const logs = join(root, "logs", pod.name);
  mkdirSync(logs, { recursive: true });
  return {
    pod,
    name: "main",
    attempt: 0,
    imageId: inlineImage.id,
    command: [],
    args: [],
    env: [],
    mounts: [{ hostPath: bundle, containerPath: "/bundle", readOnly: true, propagation: "None" }, ...mounts],
    devices: [],
    security: plainSecurity,
    resources: {},
    oomScoreAdj: 1000,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: join(logs, "0.log"),
    ...rest,
  };
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > untilMs) throw new Error(`waited in vain for ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
