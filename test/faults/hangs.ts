/**
 * Processes that live and do nothing any more: stopped by a signal, or in an endless loop, into which they are sent by their debugger.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isRunning, type ProcessIdentity } from "#linux/processes.ts";
import { eventually } from "../support/cluster.ts";
import { ended, revived } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { SteadyApp } from "./steady-app.ts";

type Role = "control-plane" | "node";
type Way = "stop" | "loop";

/** A machine with much else to do gives an endless loop little of the processor time after which it is known as one. */
const patienceMs = 240_000;

export const hangs: Fault = {
  name: "hangs",
  claim:
    "a process that was stopped or loops without end is killed and started again; what is only traced or busy is not",
  async run(context) {
    const { machine, size, random } = context;
    const before = machine.census();
    const app = await SteadyApp.start(context);
    const ways: readonly (readonly [Role, Way])[] = [
      ["control-plane", "loop"],
      ["node", "stop"],
      ["control-plane", "stop"],
      ["node", "loop"],
    ];
    for (const [role, way] of size === "long" ? ways : random.pick([ways.slice(0, 2), ways.slice(2)])) {
      await hang(context, role, way);
      await app.assertUntouched();
    }
    // Nobody answers names while the node hangs.
    await app.stop({ lookupsMayFail: true });
    await machine.sameAs(before);
  },
};

async function hang(context: FaultContext, role: Role, way: Way): Promise<void> {
  const { machine, log } = context;
  const hung = machine.findProcess(role);
  assert.ok(hung, `the ${role} lives`);
  const startMs = performance.now();
  if (way === "stop") process.kill(hung.pid, "SIGSTOP");
  else await loopForEver(context, role, hung);
  await eventually(`the hung ${role} to be killed`, async () => !isRunning(hung), patienceMs);
  const killedMs = Math.round(performance.now() - startMs);
  await ended(hung);
  const backMs = await revived(context, role, hung);
  log(`${role}, ${way}: killed after ${killedMs} ms, ready again ${backMs} ms later`);
}

/** Node opens its debugger when it gets this signal, and says where in its log. */
async function loopForEver({ machine }: FaultContext, role: Role, { pid }: ProcessIdentity): Promise<void> {
  const folder = join(machine.dataFolder, "logs");
  const name = role === "node" ? `node-${machine.node}` : role;
  process.kill(pid, "SIGUSR1");
  const url = await eventually("the debugger", async () => {
    return readFileSync(join(folder, `${name}.log`), "utf8")
      .match(/ws:\/\/[\w.:/-]+/g)
      ?.at(-1);
  });
  const socket = new WebSocket(url);
  await once(socket, "open");
  const expression = "void setTimeout(() => { for (;;); }, 300)";
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } }));
  await once(socket, "message");
  socket.close();
  await sleep(300);
}
