/**
 * Ways to kill the cluster's processes, and to see what came after.
 */
import assert from "node:assert/strict";
import type { ClusterStatus } from "#cli/machine.ts";
import { isRunning, type ProcessIdentity } from "#linux/processes.ts";
import { eventually } from "../support/cluster.ts";
import type { FaultContext } from "./fault.ts";

/** Whose process. */
export type Role = ClusterStatus["processes"][number]["role"];

/** Kills the process of a role, which must live. */
export function killProcess({ machine }: FaultContext, role: Role): ProcessIdentity {
  const found = machine.findProcess(role);
  assert.ok(found, `the ${role} lives`);
  if (role === "node") machine.nodeDeathsMs.push(performance.now());
  process.kill(found.pid, "SIGKILL");
  return found;
}

/** Kills both in one breath, so that neither can bring the other back. */
export function killBoth({ machine }: FaultContext): readonly ProcessIdentity[] {
  const both = [machine.findProcess("node"), machine.findProcess("control-plane")].filter(
    (found) => found !== undefined,
  );
  assert.equal(both.length, 2, "both live");
  machine.nodeDeathsMs.push(performance.now());
  for (const { pid } of both) process.kill(pid, "SIGKILL");
  return both;
}

/** Waits until another process has taken the dead one's place and all is ready; gives the milliseconds that this took. */
export async function revived(context: FaultContext, role: Role, dead: ProcessIdentity): Promise<number> {
  const startMs = performance.now();
  await eventually(`a new ${role}`, async () => {
    const found = context.machine.findProcess(role);
    return found !== undefined && (found.pid !== dead.pid || found.startTicks !== dead.startTicks);
  });
  await context.machine.ready();
  return Math.round(performance.now() - startMs);
}

/** Waits until processes have ended: a kill takes a moment. */
export async function ended(...processes: readonly ProcessIdentity[]): Promise<void> {
  await eventually("killed processes to end", async () => processes.every((process) => !isRunning(process)), 5000);
}
