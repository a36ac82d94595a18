/**
 * Isolates on this machine, without a cluster: the provider keeps the contract, and the cage holds. Root only.
 * Run: node tools/node24.mjs test/e2e/isolates-runtime.e2e.ts
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import type { ContainerSpec, ContainerState } from "#kubelet/container-runtime.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite.ts";
import type { PodRef } from "#kubelet/provider.ts";
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

    async function run(source: string, changed: Partial<ContainerSpec> = {}): Promise<Started> {
      count++;
      const pod = { namespace: "suite", name: `pod-${count}`, uid: `uid-${count}` };
      const begunMs = performance.now();
      const { ips } = await runtime.ensureSandbox(sandboxSpec(pod), never);
      const spec = isolateSpec(root, pod, source, changed);
      const state = await runtime.startContainer(spec, never);
      return { pod, state, ip: ips[0] ?? "", logPath: spec.logPath, tookMs: performance.now() - begunMs };
    }

    it("answers requests at its port, with its environment, and logs what it says", async () => {
      const { pod, ip, logPath, tookMs } = await run(
        `export default { async fetch(request, env) {
          console.log("asked for", new URL(request.url).pathname); console.error("careful");
          return new Response(env.GREETING + " " + process.env.GREETING + " " + await request.text());
        } }`,
        { env: [{ name: "GREETING", value: "hello" }], ports: [3000] },
      );

      const answer = await fetch(`http://${ip}:3000/path`, { method: "POST", body: "there" });

      assert.equal(await answer.text(), "hello hello there");
      console.log("took", tookMs);
      assert.match(readFileSync(logPath, "utf8"), /stdout F asked for \/path/);
      assert.match(readFileSync(logPath, "utf8"), /stderr F careful/);
      await runtime.removeSandbox(pod);
    });
  });
}

type Started = {
  readonly pod: PodRef;
  readonly state: ContainerState;
  readonly ip: string;
  readonly logPath: string;
  readonly tookMs: number;
};

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
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  });
  await runtime.start();
  return runtime;
}

function isolateSpec(root: string, pod: PodRef, source: string, changed: Partial<ContainerSpec>): ContainerSpec {
  const bundle = join(root, "bundles", pod.uid);
  if (!existsSync(bundle)) mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "index.js"), source);
  return {
    pod,
    name: "main",
    attempt: 0,
    imageId: inlineImage.id,
    command: [],
    args: [],
    env: [],
    mounts: [{ hostPath: bundle, containerPath: "/bundle", readOnly: true, propagation: "None" }],
    devices: [],
    security: plainSecurity,
    resources: {},
    oomScoreAdj: 1000,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: join(root, "logs", `${pod.name}-0.log`),
    ...changed,
  };
}
