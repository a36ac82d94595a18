/**
 * The OCI runtime specification of one container: config.json, as crun and runc read it. Defaults (capabilities, masked paths, mounts) are containerd's, so that an
 * image behaves here as it does elsewhere.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { MachineCapabilities } from "./machine.ts";
import { defaultSeccomp } from "./seccomp.ts";
import {
  type ContainerSettings,
  type DeviceSettings,
  type MountSettings,
  RuntimeFailure,
  type SandboxSettings,
} from "./settings.ts";
import type { ProcessUser } from "./user.ts";

/** What a specification is made of. Paths are absolute; namespace paths are absent where the machine's own is used. */
export type SpecInput = {
  readonly container: ContainerSettings;
  readonly sandbox: SandboxSettings;
  readonly machine: MachineCapabilities;
  readonly rootfs: string;
  readonly user: ProcessUser;
  readonly argv: readonly string[];
  readonly imageEnv: readonly string[];
  readonly workingDir: string;
  readonly cgroupPath: string;
  readonly namespaces: { readonly net?: string; readonly ipc?: string; readonly uts?: string; readonly pid?: string };
  readonly shmFolder: string;
  /** Parsed profile for seccomp type Localhost. */
  readonly localSeccomp?: unknown;
};

/** The process part of a specification, which `exec` takes on its own too. */
export type OciProcess = Readonly<Record<string, unknown>> & { readonly env: readonly string[] };

const defaultCapabilities =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split(
    " ",
  );
const maskedPaths = [
  ..."asound acpi kcore keys latency_stats timer_list timer_stats sched_debug scsi"
    .split(" ")
    .map((name) => `/proc/${name}`),
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = "bus fs irq sys sysrq-trigger".split(" ").map((name) => `/proc/${name}`);
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Makes the document. */
export function buildSpec(input: SpecInput): Record<string, unknown> {
  const { container, sandbox } = input;
  const { privileged, procMount, readOnlyRootFilesystem } = container.security;
  const hidesProc = !privileged && procMount === "Default" && !container.hasBareRoot;
  return {
    ociVersion: "1.0.2",
    process: buildProcess(input),
    root: { path: input.rootfs, readonly: readOnlyRootFilesystem || container.hasBareRoot === true },
    mounts: [...(container.hasBareRoot ? [] : baseMounts(input)), ...container.mounts.map(bindMount)],
    linux: {
      namespaces: listNamespaces(input),
      cgroupsPath: input.cgroupPath,
      resources: buildResources(input),
      devices: [...(privileged ? hostDevices() : []), ...container.devices.map(buildDevice)],
      ...(hidesProc ? { maskedPaths: maskedWithout(sandbox), readonlyPaths } : {}),
      ...propagationOf(container.mounts),
      ...seccompOf(input),
    },
    annotations: { "dev.nodeless.sandbox": sandbox.id },
  };
}

/** Entry point and arguments: those of the container win over those of the image, as Kubernetes has it. Throws when there is neither. */
export function chooseArguments(
  container: { readonly command: readonly string[]; readonly args: readonly string[] },
  image: { readonly Entrypoint?: readonly string[] | null; readonly Cmd?: readonly string[] | null },
): string[] {
  const entrypoint = container.command.length > 0 ? container.command : (image.Entrypoint ?? []);
  const imageArguments = container.command.length > 0 ? [] : (image.Cmd ?? []);
  const argv = [...entrypoint, ...(container.args.length > 0 ? container.args : imageArguments)];
  if (argv.length === 0) throw new RuntimeFailure("create", "failed to generate container spec: no command specified");
  return argv;
}

/** Names of capabilities, without "CAP_", that the process may have. */
export function chooseCapabilities(container: ContainerSettings, machine: MachineCapabilities): string[] {
  const { privileged, addCapabilities, dropCapabilities } = container.security;
  if (privileged) return [...machine.capabilities];
  const added = addCapabilities.map(plainName);
  const dropped = dropCapabilities.map(plainName);
  const base = added.includes("ALL") ? machine.capabilities : dropped.includes("ALL") ? [] : defaultCapabilities;
  const all = new Set([...base, ...added.filter((name) => name !== "ALL")]);
  for (const name of dropped) if (!added.includes(name) || added.includes("ALL")) all.delete(name);
  const unavailable = [...all].filter((name) => !machine.capabilities.includes(name));
  const refused = unavailable.find((name) => added.includes(name));
  if (refused !== undefined)
    throw new RuntimeFailure("create", `capability CAP_${refused} is not available on this machine`);
  return [...all].filter((name) => machine.capabilities.includes(name));
}

function buildProcess(input: SpecInput): OciProcess {
  const { container, machine } = input;
  const capabilities = chooseCapabilities(container, machine).map((name) => `CAP_${name}`);
  return {
    terminal: container.tty,
    user: input.user,
    args: input.argv,
    env: mergeEnv(input),
    cwd: input.workingDir,
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: !container.security.privileged && !container.security.allowPrivilegeEscalation,
    // The kernel refuses to go below our own value without CAP_SYS_RESOURCE, and the runtime would fail with it.
    ...(machine.sysResource || container.oomScoreAdj >= 0 ? { oomScoreAdj: container.oomScoreAdj } : {}),
  };
}

// Later ones win; the order of first appearance is kept.
function mergeEnv(input: SpecInput): string[] {
  const merged = new Map<string, string>();
  const add = (text: string): void => void merged.set(text.split("=", 1)[0] ?? "", text);
  add(defaultPath);
  add(`HOSTNAME=${input.sandbox.hostname}`);
  if (input.container.tty) add("TERM=xterm");
  for (const text of input.imageEnv) add(text);
  for (const { name, value } of input.container.env) add(`${name}=${value}`);
  return [...merged.values()];
}

function baseMounts(input: SpecInput): Record<string, unknown>[] {
  const { privileged } = input.container.security;
  const access = privileged ? "rw" : "ro";
  const plain = ["nosuid", "noexec", "nodev"];
  const shm = input.sandbox.hostIpc ? "/dev/shm" : input.shmFolder;
  const taken = new Set(input.container.mounts.map((mount) => mount.containerPath.replace(/\/+$/, "")));
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc", options: plain },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: plain },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...plain, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...plain, "relatime", access] },
    {
      destination: "/dev/shm",
      type: "bind",
      source: shm,
      options: ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rw"],
    },
  ];
  return mounts.filter((mount) => !taken.has(mount.destination));
}

function bindMount(mount: MountSettings): Record<string, unknown> {
  const propagation = { None: "rprivate", HostToContainer: "rslave", Bidirectional: "rshared" }[mount.propagation];
  const options = ["rbind", propagation, mount.readOnly ? "ro" : "rw"];
  return { destination: mount.containerPath, type: "bind", source: mount.hostPath, options };
}

function propagationOf(mounts: readonly MountSettings[]): { readonly rootfsPropagation?: string } {
  if (mounts.some((mount) => mount.propagation === "Bidirectional")) return { rootfsPropagation: "rshared" };
  if (mounts.some((mount) => mount.propagation === "HostToContainer")) return { rootfsPropagation: "rslave" };
  return {};
}

function listNamespaces(input: SpecInput): { readonly type: string; readonly path?: string }[] {
  const { sandbox, namespaces, machine, container } = input;
  const joined = (type: string, path: string | undefined) => (path === undefined ? [] : [{ type, path }]);
  const ownPid = namespaces.pid === undefined && !(sandbox.hostPid && container.targetContainer === undefined);
  return [
    ...(ownPid ? [{ type: "pid" }] : joined("pid", namespaces.pid)),
    { type: "mount" },
    ...joined("network", namespaces.net),
    ...joined("ipc", namespaces.ipc),
    ...joined("uts", namespaces.uts),
    // As containerd: with version 1 containers see the whole tree, with version 2 their own.
    ...(machine.cgroupVersion === 2 && !container.security.privileged ? [{ type: "cgroup" }] : []),
  ];
}

function buildResources(input: SpecInput): Record<string, unknown> {
  const { limits, security, devices } = input.container;
  const cpu = {
    ...(limits.cpuShares !== undefined && { shares: limits.cpuShares }),
    ...(limits.cpuQuotaMicroseconds !== undefined && { quota: limits.cpuQuotaMicroseconds }),
    ...(limits.cpuPeriodMicroseconds !== undefined && { period: limits.cpuPeriodMicroseconds }),
  };
  const hugepages = Object.entries(limits.hugepageLimits ?? {}).map(([pageSize, limit]) => ({ pageSize, limit }));
  return {
    devices: security.privileged
      ? [{ allow: true, access: "rwm" }]
      : [
          { allow: false, access: "rwm" },
          ...devices.map((device) => ({ allow: true, ...deviceNumbers(device), access: device.permissions })),
        ],
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(limits.memoryLimitBytes !== undefined && { memory: { limit: limits.memoryLimitBytes } }),
    ...(limits.pidsLimit !== undefined && { pids: { limit: limits.pidsLimit } }),
    ...(hugepages.length > 0 && { hugepageLimits: hugepages }),
    // One process killed for lack of memory ends the whole container, as the kubelet has it on version 2.
    ...(input.machine.oomGroup && { unified: { "memory.oom.group": "1" } }),
  };
}

function buildDevice(device: DeviceSettings): Record<string, unknown> {
  const stats = statSync(device.hostPath);
  return {
    path: device.containerPath,
    ...deviceNumbers(device),
    fileMode: stats.mode & 0o777,
    uid: stats.uid,
    gid: stats.gid,
  };
}

function deviceNumbers(device: { readonly hostPath: string }): {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
} {
  const stats = statSync(device.hostPath, { throwIfNoEntry: false });
  if (!stats?.isBlockDevice() && !stats?.isCharacterDevice())
    throw new RuntimeFailure("create", `${device.hostPath} is not a device`);
  const number = BigInt(stats.rdev);
  const major = Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n));
  const minor = Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n));
  return { type: stats.isBlockDevice() ? "b" : "c", major, minor };
}

// What a privileged container sees in /dev: all of the machine's but the ones that belong to a terminal or to the container itself.
function hostDevices(folder = "/dev"): Record<string, unknown>[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"].includes(entry.name)
        ? []
        : hostDevices(path);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    return path === "/dev/console" ? [] : [buildDevice({ hostPath: path, containerPath: path, permissions: "rwm" })];
  });
}

// With the machine's processes in view, hiding what is there makes no sense, and neither does crun allow it everywhere.
function maskedWithout(sandbox: SandboxSettings): string[] {
  return sandbox.hostPid ? maskedPaths.filter((path) => !path.startsWith("/proc/kcore")) : maskedPaths;
}

function seccompOf(input: SpecInput): { readonly seccomp?: unknown } {
  const { privileged, seccomp } = input.container.security;
  if (privileged || seccomp.type === "Unconfined" || !input.machine.seccomp) return {};
  if (seccomp.type === "Localhost") return { seccomp: input.localSeccomp };
  return { seccomp: defaultSeccomp(new Set(chooseCapabilities(input.container, input.machine))) };
}

function plainName(name: string): string {
  return name.toUpperCase().replace(/^CAP_/, "");
}
