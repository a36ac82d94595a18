/**
 * Names without a control plane: both processes die, and only the node comes back, because the store is of a format that this version refuses.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, repository } from "../support/cluster.ts";
import { createNamespace, deleteNamespace, exposeWeb } from "./apps.ts";
import { ended, killBoth } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { askedMs, lookUp, timeoutMs } from "./load.ts";

const namespace = "names";

export const lastKnownNames: Fault = {
  name: "names",
  claim: "a node that starts while its control plane cannot answers names all the same, from what was known last",
  async run(context) {
    const { client, machine, size } = context;
    const before = machine.census();
    await createNamespace(client, namespace);
    await exposeWeb(client, namespace);
    const file = join(machine.nodeFolder, "names.json");
    await eventually("the name on disk", async () => readFileSync(file, "utf8").includes(`"namespace":"${namespace}"`));
    for (let round = 0; round < (size === "long" ? 5 : 1); round++) await nodeAlone(context);
    await deleteNamespace(client, namespace);
    await machine.sameAs(before);
  },
};

/** The node starts alone and answers; then its control plane can start again, and it is the node that brings it back. */
async function nodeAlone(context: FaultContext): Promise<void> {
  const { machine, log } = context;
  const format = join(machine.dataFolder, "store/FORMAT");
  const ours = readFileSync(format);
  try {
    await ended(...killBoth(context));
    writeFileSync(format, `${JSON.stringify({ format: 9999 })}\n`);
    const lookups = lookUp(`web.${namespace}.svc.cluster.local`, machine.dnsAddress, 20);
    startNode(context);
    await sleep(3500);
    const { count, failures, firstAnswerMs, longestMs, p50Ms } = await lookups.stop();
    log(`${count} lookups, ${failures.length} failed, p50 ${p50Ms} ms, longest ${longestMs} ms`);
    assert.ok(machine.findProcess("node"), "the node lives");
    assert.equal((await machine.status()).processes.find(({ role }) => role === "control-plane")?.isReady, false);
    // On a machine with much else to do nobody may be there in time for the first ones.
    const late = failures.filter((failure) => askedMs(failure) > firstAnswerMs - timeoutMs);
    assert.deepEqual(late, []);
    assert.ok(count > 50, `only ${count} lookups`);
  } finally {
    writeFileSync(format, ours);
  }
  await machine.ready();
}

/** As a control plane starts its node: in its mount namespace, with the permit and the ways back to the machine's namespaces. */
function startNode({ cluster, machine }: FaultContext): void {
  const { environment, name } = cluster;
  const roots = ["DATA", "RUN"].map((root) => environment[`NODELESS_${root}_ROOT`] ?? "");
  const nodeLog = openSync(join(machine.dataFolder, "logs", `node-${machine.node}.log`), "a");
  const given = ["/proc/self/ns/mnt", "/proc/self/ns/net", join(machine.runFolder, "permit")].map((path) =>
    openSync(path, "r"),
  );
  const program = [process.execPath, join(repository, "dist/node.js"), "--name", name];
  spawn(
    "nsenter",
    [
      `--mount=${join(machine.nodeRunFolder, "pins/mnt")}`,
      "--",
      ...program,
      "--data-root",
      roots[0] ?? "",
      "--run-root",
      roots[1] ?? "",
    ],
    {
      detached: true,
      cwd: "/",
      stdio: ["ignore", nodeLog, nodeLog, "ignore", ...given],
      env: { ...environment, NODELESS_PERMIT: "6" },
    },
  ).unref();
  for (const descriptor of [nodeLog, ...given]) closeSync(descriptor);
}
