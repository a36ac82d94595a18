/**
 * A cluster as the machine sees it: its processes, the containers that really run, and everything it has in the kernel and on disk. What the API says is held against this.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterStatus } from "#cli/machine.ts";
import { identifyProcess, isRunning, type ProcessIdentity } from "#linux/processes.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import { eventually, type TestCluster } from "../support/cluster.ts";

/** A container whose first process lives. */
export type LiveContainer = {
  readonly id: string;
  /** Of the pod. */
  readonly uid: string;
  readonly name: string;
  readonly process: ProcessIdentity;
  readonly monitor: ProcessIdentity | undefined;
};

/** Everything of the cluster that the machine holds: category → what is there. */
export type Census = ReadonlyMap<string, readonly string[]>;

/** The view. For clusters of one node. */
export class ClusterMachine {
  readonly #cluster: TestCluster;
  /** Name of the node. */
  readonly node: string;
  readonly dataFolder: string;
  readonly runFolder: string;
  /** When the node's process was killed, on the clock of `performance`. */
  readonly nodeDeathsMs: number[] = [];
  readonly #slot: number;

  private constructor(cluster: TestCluster, status: ClusterStatus) {
    this.#cluster = cluster;
    this.node = status.processes.find(({ role }) => role === "node")?.name ?? "";
    this.dataFolder = status.dataFolder;
    this.runFolder = join(cluster.environment["NODELESS_RUN_ROOT"] ?? "", cluster.name);
    this.#slot = (Number(status.addresses.controlPlane.split(".")[1]) - 40) / 2;
  }

  static async of(cluster: TestCluster): Promise<ClusterMachine> {
    return new ClusterMachine(cluster, await readStatus(cluster));
  }

  get nodeFolder(): string {
    return join(this.dataFolder, "nodes", this.node);
  }

  get nodeRunFolder(): string {
    return join(this.runFolder, "nodes", this.node);
  }

  /** Above the control groups of all pods. */
  get cgroupParent(): string {
    return `nodeless_${this.#slot}/${this.node}`;
  }

  /** "10.42.255.1" of the first cluster: pods and processes of the cluster reach this machine there. */
  get machineAddress(): string {
    return `10.${40 + 2 * this.#slot}.255.1`;
  }

  /** "10.43.0.10" of the first cluster. */
  get dnsAddress(): string {
    return `10.${41 + 2 * this.#slot}.0.10`;
  }

  status(): Promise<ClusterStatus> {
    return readStatus(this.#cluster);
  }

  /** The process of a role, or undefined while it is dead. Found in /proc: asking would take longer than a revival. */
  findProcess(role: ClusterStatus["processes"][number]["role"]): ProcessIdentity | undefined {
    const title = `nodeless ${role} ${role === "node" ? this.node : this.#cluster.name}`;
    // A process that one of ours is about to become has its title for a moment.
    const [oldest] = listProcesses()
      .filter(({ command }) => command === title)
      .toSorted((a, b) => Number(a.identity.startTicks) - Number(b.identity.startTicks));
    return oldest?.identity;
  }

  /** Waits until both processes live and are ready. */
  async ready(timeoutMs = 60_000): Promise<void> {
    await eventually("both processes ready", async () => (await this.status()).isReady, timeoutMs);
  }

  liveContainers(): readonly LiveContainer[] {
    const folder = join(this.nodeFolder, "runtime/containers");
    return readdirSync(folder).flatMap((id) => {
      const record = readRecord(join(folder, id, "record.json"));
      if (!record?.container || !isRunning(record.container)) return [];
      const { sandboxId, attachment } = record.settings;
      return [
        {
          id,
          uid: sandboxId,
          name: (attachment as { readonly name: string }).name,
          process: record.container,
          monitor: record.monitor,
        },
      ];
    });
  }

  /** Processes that the cluster started and that are not in its containers: conmon, crun, holders of sockets, helpers. */
  helperProcesses(): readonly { readonly identity: ProcessIdentity; readonly command: string }[] {
    return listProcesses().filter(
      ({ command }) => command.includes(`${this.nodeRunFolder}`) || command.includes(`${this.nodeFolder}/`),
    );
  }

  census(): Census {
    const node = this.findProcess("node");
    if (!node) throw new Error("a census needs a living node: it is the one who sees its mounts");
    const mounts = readFileSync(`/proc/${node.pid}/mountinfo`, "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "");
    const ours = (path: string) => path.startsWith(this.nodeFolder) || path.startsWith(this.nodeRunFolder);
    // Not the cluster's own processes: who dies and comes back is what these tests do.
    const groups = controlGroups(`nodeless_${this.#slot}`).filter(({ path }) => !path.endsWith("/_processes"));
    return new Map([
      ["processes in containers", groups.flatMap(({ path, pids }) => pids.map((pid) => `${pid} in ${path}`))],
      ["helpers", this.helperProcesses().map(({ identity, command }) => `${identity.pid} ${command}`)],
      // Those of the quality classes stay once they were needed.
      ["control groups", groups.map(({ path }) => path).filter((path) => path.includes("/pod"))],
      ["mounts", mounts.filter(ours)],
      ["pinned namespaces", list(join(this.nodeRunFolder, "ns"))],
      [
        "links",
        lines("ip", ["-o", "link"])
          .flatMap((line) => /nl\d+p[^:@]*/.exec(line) ?? [])
          .filter(this.#isLink),
      ],
      ["routes", lines("ip", ["route"]).filter((line) => line.includes(`dev nl${this.#slot}p`))],
      ["nftables elements", tableElements(`nodeless_${this.#slot}`)],
      ["container folders", list(join(this.nodeFolder, "runtime/containers"))],
      ["sandbox folders", list(join(this.nodeFolder, "runtime/sandboxes"))],
      ["pod folders", list(join(this.nodeFolder, "pods/pods"))],
      ["log folders", list(join(this.nodeFolder, "log/pods"))],
      ["exit files", list(join(this.nodeRunFolder, "exits"))],
      ["states of the OCI runtime", list(join(this.nodeRunFolder, "oci"))],
      [
        "image uses",
        imageUses(join(this.#cluster.environment["NODELESS_DATA_ROOT"] ?? "", "images/uses"), this.nodeFolder),
      ],
    ]);
  }

  /** Waits until nothing is there that was not there `before`, and nothing is missing; throws with the differences. The kernel takes some things away a moment later. */
  async sameAs(before: Census, timeoutMs = 15_000): Promise<void> {
    let differences: string[] = [];
    try {
      await eventually(
        "nothing left behind",
        async () => {
          differences = compare(before, this.census());
          return differences.length === 0;
        },
        timeoutMs,
      );
    } catch {
      throw new Error(`the machine is not as it was before:\n${differences.slice(0, 60).join("\n")}`);
    }
  }

  readonly #isLink = (name: string): boolean => name.startsWith(`nl${this.#slot}p`);
}

async function readStatus(cluster: TestCluster): Promise<ClusterStatus> {
  const { stdout } = await cluster.nodeless(["status", "--name", cluster.name, "-o", "json"], { mayFail: true });
  return JSON.parse(stdout) as ClusterStatus;
}

function readRecord(path: string): ContainerRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ContainerRecord;
  } catch {
    return undefined; // just made, or just removed
  }
}

/** All processes of the machine with their command lines. */
export function listProcesses(): readonly { readonly identity: ProcessIdentity; readonly command: string }[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    const identity = pid > 0 ? identifyProcess(pid) : undefined;
    if (!identity || !isRunning(identity)) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return [{ identity, command }];
    } catch {
      return []; // gone
    }
  });
}

function controlGroups(name: string): { readonly path: string; readonly pids: readonly string[] }[] {
  const hierarchies = ["/sys/fs/cgroup", ...list("/sys/fs/cgroup").map((entry) => join("/sys/fs/cgroup", entry))];
  return hierarchies
    .map((hierarchy) => join(hierarchy, name))
    .filter((path) => existsSync(path))
    .flatMap((path) => lines("find", [path, "-type", "d"]))
    .map((path) => ({ path, pids: readQuietly(join(path, "cgroup.procs")).split("\n").filter(Boolean) }));
}

function tableElements(table: string): string[] {
  const text = lines("nft", ["-j", "list", "table", "ip", table]).join("");
  const { nftables } = JSON.parse(text || '{"nftables":[]}') as {
    readonly nftables: readonly Record<string, NftSet>[];
  };
  return nftables.flatMap((item) => {
    const set = item["set"] ?? item["map"];
    return (set?.elem ?? []).map((element) => `${set?.name} ${withoutTimes(JSON.stringify(element))}`);
  });
}

type NftSet = { readonly name: string; readonly elem?: readonly unknown[] };

/** How long an element has lived and will live says nothing about leaks. */
function withoutTimes(element: string): string {
  return element.replace(/"(expires|timeout)":\d+,?/g, "");
}

function imageUses(folder: string, nodeFolder: string): string[] {
  return list(folder).flatMap((image) =>
    list(join(folder, image))
      .filter((user) => readQuietly(join(folder, image, user)).includes(nodeFolder))
      .map((user) => `${user} of ${image}`),
  );
}

function compare(before: Census, after: Census): string[] {
  return [...after].flatMap(([category, now]) => {
    const then = new Set(before.get(category));
    const present = new Set(now);
    return [
      ...now.filter((item) => !then.has(item)).map((item) => `left in ${category}: ${item}`),
      ...[...then].filter((item) => !present.has(item)).map((item) => `gone from ${category}: ${item}`),
    ];
  });
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function lines(program: string, args: readonly string[]): string[] {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 64 << 20 })
      .trim()
      .split("\n")
      .filter(Boolean);
  } catch {
    return [];
  }
}
