/**
 * A cage: one workerd process with nothing around it but what it needs, in a sandbox's namespaces. It is made before anybody needs it; a pod's code comes in later.
 */
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerMount, ContainerSpec } from "#kubelet/container-runtime.ts";
import type { Listeners } from "#linux/listeners.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import { type ContainerSettings, RuntimeFailure } from "#runtime/settings.ts";
import { Control } from "./control.ts";
import { sockets } from "./loader.ts";
import type { WorkerdProgram } from "./workerd-program.ts";

/** What cages are made of. */
export type CageParts = {
  readonly engine: CagingEngine;
  readonly listeners: Listeners;
  readonly workerd: WorkerdProgram;
  /** workerd's configuration in binary form: the loader. */
  readonly configuration: string;
  /** Whom TLS trusts: a PEM file. */
  readonly authorities: string;
  /** For control sockets; short, for the names of sockets are bounded. */
  readonly controlFolder: string;
};

/** A process that waits for its code. The descriptor is the caller's to close. */
export type Cage = {
  readonly containerId: string;
  readonly sandboxId: string;
  readonly control: Control;
  /** Listens at any port in the sandbox's network; workerd accepts on it. */
  readonly listener: number;
};

/** Processes and threads that a cage may have: workerd has about ten. */
const mostProcesses = 128;
/** Added to the low 16 bits of the address: no two cages of a node share a user, so not even the kernel's counts per user. */
const firstUser = 0x10_0000;
const inCage = { workerd: "/workerd", configuration: "/loader.bin", authorities: "/etc/ssl/cert.pem" } as const;
const startPatienceMs = 30_000;

/** Makes a cage in a sandbox that is ready. Throws RuntimeFailure; nothing is left behind then. */
export async function makeCage(parts: CageParts, sandboxId: string, name: string, logPath: string): Promise<Cage> {
  const { engine, listeners, controlFolder } = parts;
  const sandbox = engine.sandboxes.find(sandboxId);
  if (!sandbox) throw new RuntimeFailure("create", `there is no sandbox ${sandboxId}`);
  const { key, address = "0.0.0.0" } = sandbox.namespaces;
  const controlPath = join(controlFolder, randomBytes(6).toString("hex"));
  const listener = engine.networks.insideNetwork(key, () =>
    listeners.listenAnywhere(engine.ownAddress(sandbox).listen),
  );
  const control = listeners.listenAtPath(controlPath);
  try {
    const settings = cageSettings(parts, sandboxId, address, name, logPath);
    const signal = AbortSignal.timeout(startPatienceMs);
    const { id } = await engine.containers.start(settings, signal, [listener, control]);
    const channel = new Control(controlPath);
    await channel.waitUntilReady(signal);
    // What it said until now is nobody's.
    truncateSync(logPath);
    return { containerId: id, sandboxId, control: channel, listener };
  } catch (error) {
    closeSync(listener);
    throw error;
  } finally {
    closeSync(control);
  }
}

/** Names that isolates are told in files, because they cannot ask for them. */
export type NameFiles = {
  /** Lines that every /etc/hosts of this namespace gets beside the pod's own. */
  hostLines(namespace: string): string;
  /** Who is asked about all other names: the text of /etc/resolv.conf. */
  resolvers(): string;
};

/**
 * Names of hosts and resolvers as the kubelet wrote them for the pod, put where the process in the cage looks for them. Called again when `files` know more.
 */
export function writeNames(engine: CagingEngine, containerId: string, spec: ContainerSpec, files?: NameFiles): void {
  const folder = join(engine.containers.folder(containerId), "rootfs", "etc");
  const { mounts, pod } = spec;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (files) return writeNameFiles(folder, mounts, files, pod.namespace);
  for (const name of ["hosts", "resolv.conf"]) {
    const mount = mounts.find(({ containerPath }) => containerPath === `/etc/${name}`);
    if (mount) writeFileSync(join(folder, name), readFileSync(mount.hostPath), { mode: 0o644 });
  }
}

function writeNameFiles(folder: string, mounts: readonly ContainerMount[], files: NameFiles, namespace: string): void {
  const own = mounts.find(({ containerPath }) => containerPath === "/etc/hosts");
  const text = (own ? readFileSync(own.hostPath, "utf8") : "127.0.0.1 localhost\n") + files.hostLines(namespace);
  // Whole or not at all: the process may be reading it.
  writeFileSync(join(folder, "hosts.part"), text, { mode: 0o644 });
  renameSync(join(folder, "hosts.part"), join(folder, "hosts"));
  writeFileSync(join(folder, "resolv.conf"), files.resolvers(), { mode: 0o644 });
  // The C library's own order begins with DNS, and takes the first of several addresses.
  writeFileSync(join(folder, "nsswitch.conf"), "hosts: files dns\n", { mode: 0o644 });
  writeFileSync(join(folder, "host.conf"), "multi on\n", { mode: 0o644 });
}

/** The same for a process of several pods, none of whose names is in it. */
export function writeResolver(engine: CagingEngine, containerId: string, resolver: string): void {
  const folder = join(engine.containers.folder(containerId), "rootfs", "etc");
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  writeFileSync(join(folder, "resolv.conf"), resolver, { mode: 0o644 });
  writeFileSync(join(folder, "hosts"), "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", {
    mode: 0o644,
  });
}

/** What the process is and may do. Exported for the tests that try to break out of it with other programs than workerd. */
export function cageSettings(
  parts: Pick<CageParts, "workerd" | "configuration" | "authorities">,
  sandboxId: string,
  address: string,
  name: string,
  logPath: string,
): ContainerSettings {
  const [, , third = "0", fourth = "0"] = address.split(".");
  const user = firstUser + Number(third) * 256 + Number(fourth);
  const mount = (hostPath: string, containerPath: string) =>
    ({ hostPath, containerPath, readOnly: true, propagation: "None" }) as const;
  return {
    sandboxId,
    name,
    imageId: "",
    hasBareRoot: true,
    command: [inCage.workerd],
    args: [
      "serve",
      "--binary",
      "--experimental",
      `--socket-fd=${sockets.pod}=3`,
      `--socket-fd=${sockets.control}=4`,
      inCage.configuration,
    ],
    workingDir: "/",
    env: [{ name: "SSL_CERT_FILE", value: inCage.authorities }],
    mounts: [
      mount(parts.workerd.path, inCage.workerd),
      mount(parts.configuration, inCage.configuration),
      mount(parts.authorities, inCage.authorities),
      ...parts.workerd.libraries.map(({ hostPath, containerPath }) => mount(hostPath, containerPath)),
    ],
    devices: [],
    security: {
      privileged: false,
      runAsUser: user,
      runAsGroup: user,
      runAsNonRoot: true,
      supplementalGroups: [],
      supplementalGroupsPolicy: "Strict",
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      addCapabilities: [],
      dropCapabilities: ["ALL"],
      seccomp: { type: "RuntimeDefault" },
      procMount: "Default",
    },
    limits: { pidsLimit: mostProcesses },
    oomScoreAdj: 0,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath,
    attachment: undefined,
  };
}
