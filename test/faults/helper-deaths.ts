/**
 * Death at each step of those who make containers: conmon, the OCI runtime and the container's first process before it is the container's program. In the node's own mount namespace a
 * script stands in for conmon; once per pod it has strace lie in wait for the real one and all that it starts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyProcess, signalProcess } from "#linux/processes.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { bringUpPod, type OnePod, takePodAway } from "./one-pod.ts";
import { type Strike, strikeAll, strikesOf } from "./phases.ts";

/** Calls that each of these processes makes from its start to its end, and how often at most. */
const helperCalls: Readonly<Record<string, number>> = {
  execve: 2,
  clone: 2,
  clone3: 1,
  pivot_root: 1,
  mount: 12,
  setns: 2,
  capset: 2,
  seccomp: 1,
  mkdir: 4,
  mkdirat: 3,
  rename: 2,
  openat: 40,
  symlinkat: 2,
  unlink: 2,
  write: 12,
  prctl: 3,
  wait4: 2,
  exit_group: 1,
};

export const helperDeaths: Fault = {
  name: "helpers",
  claim:
    "conmon, crun or a container's first process killed at whatever step: the pod comes and goes, and nothing of it is left",
  needs: "strace",
  async run(context) {
    const trap = new Trap(context);
    trap.set();
    const live = async (pod: OnePod, strike: Strike) => await livePod(context, trap, pod, strike);
    try {
      await strikeAll(context, {
        namespace: "helpers",
        strikes: strikesOf(helperCalls),
        few: 3,
        live: (_context, pod, strike) => live(pod, strike),
      });
    } finally {
      trap.remove();
    }
  },
};

/** The first conmon of the pod's life is struck, once, at its start or at its end. */
async function livePod(context: FaultContext, trap: Trap, pod: OnePod, strike: Strike): Promise<string> {
  trap.arm(strike);
  try {
    await bringUpPod(context, pod);
    await takePodAway(context, pod);
  } finally {
    await trap.disarm();
  }
  await context.machine.ready();
  return trap.victims();
}

/** What stands in for conmon. */
class Trap {
  readonly #namespace: string;
  readonly #folder: string;
  readonly #conmon: string;

  constructor({ machine }: FaultContext) {
    this.#namespace = join(machine.nodeRunFolder, "pins/mnt");
    // Not below the node's folders: it is no leak of the node's.
    this.#folder = join(machine.runFolder, "trap");
    this.#conmon = execFileSync("sh", ["-c", "command -v conmon"], { encoding: "utf8" }).trim();
  }

  set(): void {
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(this.#file("real"), "");
    writeFileSync(this.#file("script"), this.#script(), { mode: 0o755 });
    this.#inside("mount", "--bind", this.#conmon, this.#file("real"));
    // Else what is mounted over conmon would show here too.
    this.#inside("mount", "--make-private", this.#file("real"));
    this.#inside("mount", "--bind", this.#file("script"), this.#conmon);
  }

  remove(): void {
    for (const path of [this.#conmon, this.#file("real")]) this.#inside("umount", "--lazy", path);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  arm({ call, nth }: Strike): void {
    rmSync(this.#file("said"), { force: true });
    writeFileSync(this.#file("armed"), `call=${call} nth=${nth}\n`);
  }

  /** strace lets go of whoever lives. */
  async disarm(): Promise<void> {
    rmSync(this.#file("armed"), { force: true });
    if (!existsSync(this.#file("pid"))) return;
    const strace = identifyProcess(Number(readFileSync(this.#file("pid"), "utf8")));
    rmSync(this.#file("pid"));
    if (!strace) return;
    signalProcess(strace, "SIGTERM");
    await sleep(200);
    // It may wait for somebody who is dead, and hold the others meanwhile.
    signalProcess(strace, "SIGKILL");
  }

  /** Who died, by the program that it was at its last call. */
  victims(): string {
    const said = existsSync(this.#file("said")) ? readFileSync(this.#file("said"), "utf8") : undefined;
    if (said === undefined) return "nobody was made";
    // The one that was struck died in the call, others with it: a container's first process takes its whole namespace along.
    const struck = said.split("\n").filter((line) => line.includes("(INJECTED)") || line.includes("= ?")).length;
    return said.includes("killed by SIGKILL") ? `killed ${Math.max(1, struck)}` : "went on";
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  // Built-in commands only once strace is there: it follows children, and would count theirs. Of the descriptors that conmon is given strace keeps none, for their end means something.
  #script(): string {
    const folder = this.#folder;
    return `#!/bin/sh
if [ -f ${folder}/armed ] && mv ${folder}/armed ${folder}/taken 2>/dev/null; then
  . ${folder}/taken
  strace -f -q -o ${folder}/said -e trace=$call -e inject=$call:signal=KILL:when=$nth -p $$ \\
    </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
  echo $! > ${folder}/pid
  tries=0
  traced=0
  while [ $traced = 0 ] && [ $tries -lt 5000 ]; do
    tries=$((tries+1))
    while read -r key value; do [ "$key" = TracerPid: ] && traced=$value; done < /proc/$$/status
  done
fi
exec ${folder}/real "$@"
`;
  }

  #inside(...command: readonly string[]): void {
    const { status, stderr } = spawnSync("nsenter", [`--mount=${this.#namespace}`, "--", ...command], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`${command.join(" ")} failed: ${stderr}`);
  }
}
