/**
 * Ends the processes of a cluster, all of them: those that answer by being told, those that hang or are just being started by force.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Cluster, nodeNames } from "./clusters.ts";
import { controlPlaneSocket, eventingLayout, nodeLayout } from "./layout.ts";
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

/**
 * From now on nobody starts any more, and all are told to end, so that they do even if nobody waits for it. With "containers" these end too; with "process" they run on.
 */
export function endProcesses({ record, layout }: Cluster, mode: StopMode): EndSteps {
  withdrawPermit(layout);
  const seen = new Set(listPermitHolders(layout));
  const endHolders = async (spared?: number) => {
    const killAtMs = performance.now() + exitMs;
    for (let lookAgainMs = 20; ; lookAgainMs = Math.min(200, 2 * lookAgainMs)) {
      const holders = listPermitHolders(layout);
      for (const pid of holders) seen.add(pid);
      const others = holders.filter((pid) => pid !== spared);
      if (others.length === 0) return;
      if (performance.now() >= killAtMs) for (const pid of others) kill(pid);
      await sleep(lookAgainMs);
    }
  };
  const nodes = Promise.all(nodeNames(record).map((node) => stopProcess(nodeLayout(layout, node).socket, mode)));
  const eventing = stopProcess(eventingLayout(layout).socket, mode);
  // It waits for its nodes, which report what became of their pods.
  const controlPlane = stopProcess(controlPlaneSocket(layout), mode);
  return {
    async nodes() {
      for (const { ended } of await nodes) await ended;
      await endHolders((await controlPlane).pid);
    },
    async all() {
      await (await eventing).ended;
      await (await controlPlane).ended;
      await endHolders();
      return seen.size;
    },
  };
}

type Stopping = { readonly pid: number | undefined; readonly ended: Promise<unknown> };

/** Tells a process to end. `ended` resolves when it has, or had time enough. */
async function stopProcess(socket: string, mode: StopMode): Promise<Stopping> {
  try {
    const peer = await watchPeer(socket);
    const patience = sleep(stopMs, undefined, { ref: false }).then(() => peer?.leave());
    return { pid: peer?.status().pid, ended: Promise.race([peer?.stop(mode), patience]) };
  } catch (error) {
    if (!(error instanceof PeerSilent)) throw error;
    return { pid: undefined, ended: Promise.resolve() }; // it hangs: its turn comes
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
