/**
 * Ends the processes of a cluster, all of them: those that answer by being told, those that hang or are just being started by force.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { nodeName } from "./address-plan.ts";
import type { Cluster } from "./clusters.ts";
import { controlPlaneSocket, nodeLayout } from "./layout.ts";
import { listPermitHolders, withdrawPermit } from "./run-permit.ts";
import { PeerSilent, type StopMode, watchPeer } from "./supervision.ts";

/** What can be waited for, in the order in which it happens. */
export type EndSteps = {
  /** Resolves when the nodes have ended. */
  readonly nodes: () => Promise<void>;
  /** Resolves when nothing of the cluster runs any more. Gives how many processes there were. */
  readonly all: () => Promise<number>;
};

/** Longest time for a process to end by itself: containers get 10 s. */
const stopMs = 30_000;
/** How long a process that has said goodbye, or has not yet seen that it may not start, is left alone. */
const exitMs = 3000;
const lookAgainMs = 20;

/** From the first call on nobody starts any more. With "containers" these end too; with "process" they run on. */
export function endProcesses({ record, layout }: Cluster, mode: StopMode): EndSteps {
  withdrawPermit(layout);
  const holders = new Set(listPermitHolders(layout));
  const sockets = nodeNames({ record }).map((node) => nodeLayout(layout, node).socket);
  return {
    async nodes() {
      await Promise.all(sockets.map((socket) => stopProcess(socket, mode)));
    },
    async all() {
      // The control plane goes last: nodes report what became of their pods. It has nothing to do with those that hang.
      await stopProcess(controlPlaneSocket(layout), "process");
      for (const pid of await endHolders(() => listPermitHolders(layout))) holders.add(pid);
      return holders.size;
    },
  };
}

/** Names of the cluster's nodes. */
export function nodeNames({ record }: Pick<Cluster, "record">): string[] {
  return Array.from({ length: record.nodes }, (_, index) => nodeName(record.name, record.nodes, index));
}

async function stopProcess(socket: string, mode: StopMode): Promise<void> {
  try {
    const peer = await watchPeer(socket);
    await Promise.race([peer?.stop(mode), sleep(stopMs, undefined, { ref: false })]);
    peer?.leave();
  } catch (error) {
    if (!(error instanceof PeerSilent)) throw error; // it hangs: its turn comes
  }
}

/** Waits until no process holds a permit, and kills those that take too long. Gives who there was. */
async function endHolders(list: () => readonly number[]): Promise<ReadonlySet<number>> {
  const seen = new Set<number>();
  for (let waitedMs = 0; ; waitedMs += lookAgainMs) {
    const holders = list();
    for (const pid of holders) seen.add(pid);
    if (holders.length === 0) return seen;
    if (waitedMs >= exitMs) for (const pid of holders) kill(pid);
    await sleep(lookAgainMs);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
