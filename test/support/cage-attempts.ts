/**
 * Attempts to break out of an isolate's cage, made by a program that can make any system call: perl in workerd's place, in the very same cage, as if the engine had been taken over.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cageSettings } from "#providers/isolates/cage.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";

const perl = "/usr/bin/perl";

/** Why nothing can be tried on this machine, or false. */
export function whyNoAttempts(): string | false {
  if (process.arch !== "x64") return "knows the system calls of x64 only";
  return existsSync(perl) ? false : "needs perl, which tries to break out";
}

/** An attempt: perl that is true where it succeeded. `$agent` and `$neighbour` are processes of the node and of another cage, as the node numbers them. */
export type Attempt = readonly [title: string, perl: string];

/** All attempts, by what they are after. */
export const attempts: Readonly<Record<string, readonly Attempt[]>> = {
  "processes of the node and of neighbours": [
    ["signal the node's agent", "kill(0, $agent)"],
    ["signal a neighbour", "kill(0, $neighbour)"],
    ["kill everybody but oneself", "kill('KILL', -1) > 0"],
    ["trace the node's agent", "call(101, 16, $agent, 0, 0) == 0"],
    ["trace a neighbour", "call(101, 16, $neighbour, 0, 0) == 0"],
    [
      "read a neighbour's memory",
      `do { my $b = " " x 8; call(310, $neighbour, pack("PQ", $b, 8), 1, pack("QQ", 4194304, 8), 1, 0) > 0 }`,
    ],
    ["hold on to the agent by a descriptor", "call(434, $agent, 0) >= 0"],
    ["raise one's own priority", "call(141, 0, 0, -20) == 0"],
    ["give oneself real-time scheduling", 'call(144, 0, 1, pack("l", 10)) == 0'],
  ],
  files: [
    ["the node's passwords", 'open(my $f, "<", "/etc/shadow")'],
    ["the node's processes", 'opendir(my $d, "/proc/1")'],
    ["mount /proc", 'call(165, "proc", "/dev", "proc", 0, 0) == 0'],
    ["mount the kernel's settings", 'call(165, "sysfs", "/dev", "sysfs", 0, 0) == 0'],
    ["mount control groups", 'call(165, "cgroup2", "/dev", "cgroup2", 0, 0) == 0'],
    ["write in the root", 'open(my $f, ">", "/new")'],
    ["change the engine", 'open(my $f, ">>", "/loader.bin")'],
    ["change the resolver", 'open(my $f, ">", "/etc/resolv.conf")'],
    ["climb out by ..", 'open(my $f, "<", "/../../../../etc/hostname")'],
    ["make the machine's disk", 'call(133, "/dev/disk", 0060666, 2048) == 0'],
    ["open a file by its handle", 'call(304, -100, pack("LLQ", 8, 1, 2), 0) >= 0'],
    ["change the root", 'call(161, "/dev") == 0'],
    ["the machine's memory", 'open(my $f, "<", "/dev/mem")'],
  ],
  privileges: [
    ["become root", "call(105, 0) == 0"],
    ["join root's group", "call(106, 0) == 0"],
    ["a user namespace of one's own", "call(272, 0x10000000) == 0"],
    ["a mount namespace of one's own", "call(272, 0x00020000) == 0"],
    [
      "join the node's network",
      'do { my $o = open(my $f, "<", "/proc/1/ns/net"); $o && call(308, fileno($f), 0) == 0 }',
    ],
    ["load a program into the kernel (bpf)", 'call(321, 0, pack("x128"), 128) >= 0'],
    ["the kernel's key ring", "call(250, 0, -3, 1) >= 0"],
    ["measure the kernel", 'call(298, pack("x128"), 0, -1, -1, 0) >= 0'],
    ["asynchronous calls that no filter sees (io_uring)", 'call(425, 8, pack("x120")) >= 0'],
    ["handle page faults", "call(323, 0) >= 0"],
    ["load a kernel module", 'call(175, "", 0, "") == 0'],
    ["rename the machine", 'call(170, "mine", 4) == 0'],
    ["set the clock", "call(227, 0, pack('qq', 0, 0)) == 0"],
    ["restart the machine", "call(169, 0xfee1dead, 672274793, 0x1234567, 0) == 0"],
    ["read the kernel's log", 'call(103, 3, my $b = " " x 100, 100) >= 0'],
  ],
  sockets: [
    ["the node's listener on its loopback", 'tcp("127.0.0.1", $loopbackPort)'],
    [
      "a socket without a name of the node's",
      'do { my $s; socket($s, 1, 1, 0) && connect($s, pack("S", 1) . "\\0" . $abstract) }',
    ],
    ["the node's sockets by path", 'do { my $s; socket($s, 1, 1, 0) && connect($s, pack("S", 1) . $control . "\\0") }'],
    ["raw packets", "socket(my $s, 17, 3, 0x0300)"],
    ["forged addresses", "socket(my $s, 2, 3, 255)"],
    ["the hypervisor", "socket(my $s, 40, 1, 0)"],
    [
      "give one's network another address",
      'do { my $s; socket($s, 2, 2, 0) && ioctl($s, 0x8916, my $r = pack("a16 S n a4 x16", "eth0", 2, 0, "\\x0a\\x00\\x00\\x01")) }',
    ],
  ],
};

/** Starts perl in a cage; gives the container's id. Its output is in ROOT/NAME.log. */
export async function startPerl(root: string, engine: CagingEngine, name: string, program: string): Promise<string> {
  const id = `${name}-${randomBytes(4).toString("hex")}`;
  const sandbox = await engine.sandboxes.ensure({
    id,
    hostname: name,
    sysctls: {},
    hostNetwork: false,
    hostPid: false,
    hostIpc: false,
    sharedPid: false,
    cgroupPath: `/nodeless-${basename(root)}/${id}`,
    limits: {},
    attachment: undefined,
  });
  const configuration = join(root, "loader.bin");
  if (!existsSync(configuration)) writeFileSync(configuration, "not used here");
  const workerd = { path: perl, compatibilityDate: "", libraries: perlLibraries() };
  mkdirSync(join(root, "logs"), { recursive: true });
  const log = join(root, "logs", `${id}.log`);
  const parts = { workerd, configuration, authorities: configuration };
  const settings = cageSettings(parts, id, sandbox.namespaces.address ?? "", name, log);
  const program_ = { hostPath: perl, containerPath: "/perl", readOnly: true, propagation: "None" as const };
  const record = await engine.containers.start(
    { ...settings, command: ["/perl", "-e", program], args: [], mounts: [...settings.mounts, program_] },
    new AbortController().signal,
  );
  return record.id;
}

/** Tries each; gives a line each: "TITLE: failed: REASON" or "TITLE: SUCCEEDED". */
export async function attempt(
  root: string,
  engine: CagingEngine,
  facts: Readonly<Record<string, string | number>>,
  listed: readonly Attempt[],
): Promise<string[]> {
  const variables = Object.entries(facts).map(([name, value]) => `our $${name} = ${JSON.stringify(value)};`);
  const tries = listed.map(
    ([title, code]) =>
      `{ local $! = 0; my $done = eval { ${code} }; my $why = $@ || $!; $why =~ s/ at -e.*//s; print ${JSON.stringify(title)}, ": ", ($done ? "SUCCEEDED" : "failed: $why"), "\\n"; }`,
  );
  const call = "sub call { my ($number, @arguments) = @_; syscall($number, @arguments) }";
  const tcp = `sub tcp { my ($host, $port) = @_; socket(my $s, 2, 1, 0) or return 0; connect($s, pack("S n C4 x8", 2, $port, split(/\\./, $host))) }`;
  const id = await startPerl(
    root,
    engine,
    "attempt",
    ["$| = 1; $SIG{ALRM} = sub { die }; alarm 20;", ...variables, call, tcp, ...tries].join("\n"),
  );
  await engine.containers.waitForEnd(id);
  const { logPath } = engine.containers.find(id)?.settings ?? { logPath: "" };
  const lines = readFileSync(logPath, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => line.split(" ").slice(3).join(" "));
}

function perlLibraries(): { readonly hostPath: string; readonly containerPath: string }[] {
  const lines = execFileSync("ldd", [perl], { encoding: "utf8" }).split("\n");
  return lines.flatMap((line) => {
    const path = /(\/\S+) \(0x/.exec(line)?.[1];
    if (path === undefined) return [];
    const name = path.slice(path.lastIndexOf("/") + 1);
    return [{ hostPath: path, containerPath: name.startsWith("ld-") ? path : `/lib/${name}` }];
  });
}
