import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilityNames, type MachineCapabilities } from "./machine.ts";
import { buildSpec, chooseArguments, chooseCapabilities, type SpecInput } from "./oci-spec.ts";
import { defaultSeccomp } from "./seccomp.ts";
import type { ContainerSettings, SecuritySettings } from "./settings.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- JSON documents of a specification that has no types here
type Document = any;

const machine: MachineCapabilities = {
  runtime: { name: "crun", path: "/usr/bin/crun", version: "1" },
  conmon: "/usr/bin/conmon",
  pause: undefined,
  cgroupVersion: 2,
  oomGroup: true,
  overlay: true,
  sysResource: false,
  seccomp: true,
  capabilities: capabilityNames.filter((name) => name !== "SYS_RESOURCE"),
  notes: [],
};
const security: SecuritySettings = {
  privileged: false,
  runAsNonRoot: false,
  supplementalGroups: [],
  supplementalGroupsPolicy: "Merge",
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: false,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: { type: "RuntimeDefault" },
  procMount: "Default",
};
const container: ContainerSettings = {
  sandboxId: "s",
  name: "main",
  imageId: "i",
  command: [],
  args: [],
  env: [{ name: "PATH", value: "/mine" }],
  mounts: [],
  devices: [],
  security,
  limits: { memoryLimitBytes: 5, cpuShares: 7 },
  oomScoreAdj: -997,
  tty: false,
  stdin: false,
  stdinOnce: false,
  logPath: "/log",
  attachment: {},
};

function spec(changed: Partial<ContainerSettings> = {}, input: Partial<SpecInput> = {}): Document {
  return buildSpec({
    container: { ...container, ...changed },
    sandbox: {
      id: "s",
      hostname: "web-1",
      hostNetwork: false,
      hostPid: false,
      hostIpc: false,
      sharedPid: false,
      sysctls: {},
      cgroupPath: "/p",
      limits: {},
      attachment: {},
    },
    machine,
    rootfs: "/root",
    user: { uid: 0, gid: 0, additionalGids: [] },
    argv: ["x"],
    imageEnv: ["A=1", "PATH=/image"],
    workingDir: "/",
    cgroupPath: "/p/c",
    namespaces: { net: "/n", ipc: "/i", uts: "/u" },
    shmFolder: "/shm",
    ...input,
  });
}

test("the command of the container replaces the image's entry point and its arguments", () => {
  const image = { Entrypoint: ["e"], Cmd: ["c"] };

  assert.deepEqual(chooseArguments({ command: [], args: [] }, image), ["e", "c"]);
  assert.deepEqual(chooseArguments({ command: [], args: ["a"] }, image), ["e", "a"]);
  assert.deepEqual(chooseArguments({ command: ["x"], args: [] }, image), ["x"]);
  assert.deepEqual(chooseArguments({ command: ["x"], args: ["a"] }, image), ["x", "a"]);
  assert.throws(() => chooseArguments({ command: [], args: [] }, {}), /no command specified/);
});

test("capabilities: the usual ones, added and dropped, ALL, and what the machine lacks", () => {
  const choose = (changed: Partial<SecuritySettings>) =>
    chooseCapabilities({ ...container, security: { ...security, ...changed } }, machine);

  assert.equal(choose({}).length, 14);
  assert.deepEqual(choose({ dropCapabilities: ["ALL"], addCapabilities: ["CAP_NET_BIND_SERVICE"] }), [
    "NET_BIND_SERVICE",
  ]);
  assert.ok(!choose({ dropCapabilities: ["chown"] }).includes("CHOWN"));
  assert.deepEqual(choose({ addCapabilities: ["ALL"], dropCapabilities: ["SYS_TIME"] }).includes("SYS_TIME"), false);
  assert.equal(choose({ privileged: true }).length, machine.capabilities.length);
  assert.throws(() => choose({ addCapabilities: ["SYS_RESOURCE"] }), /CAP_SYS_RESOURCE is not available/);
});

test("variables: defaults, then the image's, then the container's", () => {
  const { env } = spec().process;

  assert.deepEqual(env, ["PATH=/mine", "HOSTNAME=web-1", "A=1"]);
});

test("a negative oom_score_adj is left out where the machine forbids it", () => {
  assert.equal("oomScoreAdj" in spec().process, false);
  assert.equal(spec({ oomScoreAdj: 900 }).process.oomScoreAdj, 900);
  assert.equal(spec({}, { machine: { ...machine, sysResource: true } }).process.oomScoreAdj, -997);
});

test("a mount over a standard place replaces it, and propagation is passed on", () => {
  const { mounts, linux } = spec({
    mounts: [{ hostPath: "/h", containerPath: "/dev/shm/", readOnly: true, propagation: "HostToContainer" }],
  });

  assert.deepEqual(
    mounts.filter((mount: { destination: string }) => mount.destination.startsWith("/dev/shm")),
    [{ destination: "/dev/shm/", type: "bind", source: "/h", options: ["rbind", "rslave", "ro"] }],
  );
  assert.equal(linux.rootfsPropagation, "rslave");
});

test("namespaces are those of the sandbox; host ones are not named", () => {
  const types = (value: Document) => value.linux.namespaces.map((entry: { type: string }) => entry.type);

  assert.deepEqual(types(spec()), ["pid", "mount", "network", "ipc", "uts", "cgroup"]);
  assert.deepEqual(types(spec({ security: { ...security, privileged: true } }, { namespaces: {} })), ["pid", "mount"]);
  assert.deepEqual(spec({}, { namespaces: { pid: "/proc/7/ns/pid" } }).linux.namespaces[0], {
    type: "pid",
    path: "/proc/7/ns/pid",
  });
});

test("without the capability, system calls that make namespaces are refused", () => {
  const without: Document = defaultSeccomp(new Set(["CHOWN"]), "x64");
  const withAdmin: Document = defaultSeccomp(new Set(["SYS_ADMIN"]), "x64");
  const allowed = (profile: Document) =>
    new Set(
      profile.syscalls
        .filter((rule: Document) => rule.action === "SCMP_ACT_ALLOW" && !rule.args)
        .flatMap((rule: Document) => rule.names),
    );

  for (const name of ["mount", "unshare", "setns", "bpf", "clone3", "keyctl", "reboot"])
    assert.equal(allowed(without).has(name), false, name);
  for (const name of ["mount", "unshare", "setns", "clone"]) assert.equal(allowed(withAdmin).has(name), true, name);
  for (const name of ["read", "openat2", "futex", "epoll_wait", "statx", "io_pgetevents"])
    assert.equal(allowed(without).has(name), true, name);
  assert.deepEqual(without.syscalls.at(-1), { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 });
});
