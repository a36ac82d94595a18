/**
 * Several nodes on one machine, each in network and mount namespaces of its own: pods reach each other across nodes, the machine reaches them, and nothing is left. Root only.
 * Run: node tools/node24.mjs test/e2e/node-networks.e2e.ts
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { loadImages } from "#images/load.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import { createContainersProvider } from "#providers/containers/create.ts";
import { destroyRuntime } from "#runtime/destroy.ts";
import { prepareNodeNamespaces, removeNodeNamespaces } from "#runtime/node-namespaces.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";

type NodeSettings = {
  readonly folder: string;
  readonly name: string;
  readonly podCidr: string;
  readonly nodeAddress: string;
};

const roleVariable = "NODELESS_TEST_NODE";
const searchPath = process.env["PATH"] ?? "";
const never = new AbortController().signal;

if (process.env[roleVariable] !== undefined) await runNode(JSON.parse(process.env[roleVariable]) as NodeSettings);
else
  test(
    "pods of two nodes reach each other, and the machine reaches them",
    { skip: process.getuid?.() !== 0 && "needs root" },
    acrossNodes,
  );

async function acrossNodes(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nl-"));
  const nodes: NodeSettings[] = [1, 2].map((index) => ({
    folder: join(folder, `n${index}`),
    name: `n${index}`,
    podCidr: `10.95.${index}.0/24`,
    nodeAddress: `10.95.255.${index}`,
  }));
  const prefixes: (readonly string[])[] = [];
  const linkOf = (node: NodeSettings) => `nlt${node.name}`;
  try {
    for (const node of nodes) {
      mkdirSync(node.folder);
      const ownNetwork = { linkName: linkOf(node), nodeAddress: node.nodeAddress, podCidr: node.podCidr };
      prefixes.push(await prepareNodeNamespaces({ runFolder: join(node.folder, "run"), searchPath, ownNetwork }));
    }
    assert.deepEqual(
      await prepareNodeNamespaces({
        runFolder: join(nodes[0]?.folder ?? "", "run"),
        searchPath,
        ownNetwork: { linkName: "unused", nodeAddress: "10.95.255.1", podCidr: "10.95.1.0/24" },
      }),
      prefixes[0],
      "what is there is found again",
    );
    const [server = ""] = await node(nodes[0], prefixes[0], "serve");
    assert.match(server, /^10\.95\.1\.\d+$/);

    const [, answer] = await node(nodes[1], prefixes[1], server);

    assert.equal(answer, "from node n1");
    assert.match(await ask(server), /from node n1/);
  } finally {
    for (const { folder: own, name } of nodes) {
      const cgroupParent = cgroupOf(folder, name);
      await destroyRuntime({ stateFolder: join(own, "state"), runFolder: join(own, "r"), cgroupParent });
      await removeNodeNamespaces({ runFolder: join(own, "run"), linkName: `nlt${name}` });
    }
    rmSync(folder, { recursive: true, force: true });
  }
  for (let tries = 0; tries < 100 && links().includes("nlt"); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.doesNotMatch(links(), /nlt/);
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(folder));
  assert.ok(!existsSync(folder));
}

/** Runs a node's process until it has said what its pod's address and its pod's output are. The pod runs on. */
async function node(
  settings: NodeSettings | undefined,
  prefix: readonly string[] | undefined,
  target: string,
): Promise<readonly string[]> {
  const [program = "", ...args] = prefix ?? [];
  const child = spawn(program, [...args, process.execPath, import.meta.filename, target], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: searchPath, HOME: process.env["HOME"], [roleVariable]: JSON.stringify(settings) },
    timeout: 60_000,
  });
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, "close");
  return text.trim().split("\n");
}

async function runNode({ folder, name, podCidr, nodeAddress }: NodeSettings): Promise<void> {
  const target = process.argv[2] ?? "serve";
  const provider = await createContainersProvider({
    stateFolder: join(folder, "state"),
    runFolder: join(folder, "r"),
    imagesFolder: join(folder, "images"),
    podCidr,
    nodeAddress,
    cgroupParent: cgroupOf(join(folder, ".."), name),
    linkPrefix: "nltp",
    searchPath,
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  });
  await provider.runtime.start(never);
  const [image] = await loadImages(provider.imageStore, await ensureLayout("busybox"));
  const pod = { namespace: "networks", name: `pod-${name}`, uid: `uid-${name}` };
  const { ips } = await provider.runtime.ensureSandbox(sandboxSpec(pod), never);
  const logPath = join(folder, "pod.log");
  const serve = `while true; do echo from node ${name} | nc -l -p 8080; done`;
  await provider.runtime.startContainer(
    {
      pod,
      name: "main",
      attempt: 0,
      imageId: image?.id ?? "",
      command: ["sh", "-c", target === "serve" ? serve : `nc ${target} 8080 </dev/null; sleep 1000`],
      args: [],
      env: [],
      mounts: [],
      devices: [],
      security: plainSecurity,
      resources: {},
      oomScoreAdj: 1000,
      tty: false,
      stdin: false,
      stdinOnce: false,
      logPath,
    },
    never,
  );
  console.log(ips[0]);
  for (let tries = 0; target !== "serve" && tries < 200; tries++) {
    const line = existsSync(logPath) ? readFileSync(logPath, "utf8").split("\n")[0] : "";
    if (line) {
      console.log(line.split(" ").slice(3).join(" "));
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await provider.runtime.stop();
  process.exit(0);
}

async function ask(address: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      const socket = connect({ host: address, port: 8080, timeout: 2000 });
      socket.once("timeout", () => socket.destroy(new Error("no answer")));
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      return text;
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function cgroupOf(folder: string, name: string): string {
  return `/nodeless-${basename(folder)}-${name}`;
}

function links(): string {
  return execFileSync("ip", ["-o", "link"], { encoding: "utf8" });
}
