/**
 * Attempts to break out of an isolate's cage, made by a program that can make any system call (perl in workerd's place, in the very same cage: as if the engine had been
 * taken over), and by code inside of a real isolate. Each is listed, tried and has to fail. Root only, x64 (numbers of system calls).
 * Run: node tools/node24.mjs test/e2e/isolates-cage.e2e.ts
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import { cageSettings } from "#providers/isolates/cage.ts";
import { findWorkerd } from "#providers/isolates/workerd-program.ts";
import { openRuntime, type RuntimeEngine } from "#runtime/runtime-engine.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const perl = "/usr/bin/perl";
const why = skipReason();
let count = 0;

/** An attempt: perl that is true where it succeeded. `$agent` and `$neighbour` are processes of the node and of another cage, as the node numbers them. */
type Attempt = readonly [title: string, perl: string];

const attempts: Readonly<Record<string, readonly Attempt[]>> = {
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

if (folder === undefined) {
  test("nothing leads out of an isolate's cage", { skip: why }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else {
  defineTests(folder);
}

function defineTests(root: string): void {
  describe("an isolate's cage", () => {
    let engine: RuntimeEngine;
    let images: ImageStore;
    let server: Server;
    let neighbour = 0;
    const helpers: ChildProcess[] = [];
    const alive = setInterval(() => {}, 60_000);

    before(async () => {
      images = new ImageStore({ folder: join(root, "images"), clock: systemClock });
      await images.open();
      engine = await openRuntime(
        {
          stateFolder: join(root, "state"),
          runFolder: join(root, "r"),
          podCidr: "10.94.0.0/24",
          linkPrefix: "nlcage",
          searchPath: process.env["PATH"] ?? "",
          clock: systemClock,
          logger: createLogger({ level: "error" }),
        },
        images,
      );
      server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      helpers.push(spawn(process.execPath, ["-e", "require('net').createServer().listen('\\0nodeless-cage-test')"]));
      const id = await start(root, engine, "neighbour", "sleep 1000");
      neighbour = engine.containers.runningProcess(id).pid;
    });
    after(async () => {
      for (const helper of helpers) helper.kill("SIGKILL");
      server.close();
      for (const { id } of engine.containers.list()) await engine.containers.remove(id);
      for (const { settings } of engine.sandboxes.list()) await engine.sandboxes.remove(settings.id);
      engine.close();
      clearInterval(alive);
    });

    for (const [subject, listed] of Object.entries(attempts)) {
      it(`keeps to itself: ${subject}`, async () => {
        const port = (server.address() as { port: number }).port;
        const facts = {
          agent: process.pid,
          neighbour,
          loopbackPort: port,
          abstract: "nodeless-cage-test",
          control: join(root, "r", "c"),
        };

        const outcomes = await attempt(root, engine, facts, listed);

        assert.deepEqual(
          outcomes.map((line) => line.replace(/failed: .*/, "failed")),
          listed.map(([title]) => `${title}: failed`),
          outcomes.join("\n"),
        );
      });
    }

    it("has only what it needs: files, one process, no capabilities, a filter, a user of its own", async () => {
      const [listing] = await attempt(root, engine, {}, [
        ["files", 'do { opendir(my $d, "/"); print join(" ", sort grep { !/^\\./ } readdir($d)), "\\n"; 0 }'],
      ]);
      const status = readFileSync(`/proc/${neighbour}/status`, "utf8");

      assert.equal(listing, "dev etc lib lib64 loader.bin perl workerd");
      assert.match(status, /^CapEff:\s+0+$/m);
      assert.match(status, /^CapBnd:\s+0+$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.match(status, /^Seccomp:\s+2$/m);
      assert.match(status, /^NSpid:\s+\d+\s+1$/m);
      assert.doesNotMatch(status, /^Uid:\s+0/m);
    });

    it("two cages have different users and no namespace in common with each other or the node", async () => {
      const other = engine.containers.runningProcess(await start(root, engine, "other", "sleep 1000")).pid;
      const user = (pid: number) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      const namespaces = (pid: number | "self") =>
        ["net", "pid", "mnt", "ipc", "uts"].map((type) =>
          execFileSync("readlink", [`/proc/${pid === "self" ? process.pid : pid}/ns/${type}`], { encoding: "utf8" }),
        );

      assert.notEqual(user(other), user(neighbour));
      const all = [...namespaces("self"), ...namespaces(neighbour), ...namespaces(other)];
      assert.equal(new Set(all).size, all.length);
    });

    it("isolates of one process share no memory: buffers do not travel or are copied, globals are their own", async () => {
      const { compatibilityDate, path } = findWorkerd();
      const first = `globalThis.secret = "first's"; export default { async fetch(request, env) {
        const tried = async (work) => { try { return await work(); } catch { return "refused"; } };
        const shared = new SharedArrayBuffer(8); const plain = new Uint8Array(8);
        return Response.json({
          shared: await tried(() => env.SECOND.write(shared)),
          view: await tried(() => env.SECOND.write(new Uint8Array(shared))),
          memory: await tried(() => env.SECOND.write(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }))),
          copied: await env.SECOND.write(plain), plain: plain[0], afterwards: new Uint8Array(shared)[0],
          globals: await env.SECOND.look(), broadcast: typeof BroadcastChannel,
        }); } }`;
      const second = `import { WorkerEntrypoint } from "cloudflare:workers"; export default class extends WorkerEntrypoint {
        write(buffer) { new Uint8Array(buffer.buffer ?? buffer)[0] = 7; return "written"; }
        look() { return [typeof globalThis.secret, Object.keys(this.env).join()].join(); } }`;
      const worker = (source: string, bindings: string) =>
        `(modules = [(name = "main.js", esModule = ${JSON.stringify(source)})], compatibilityDate = "${compatibilityDate}", bindings = [${bindings}])`;
      const configuration = join(root, "two.capnp");
      const socket = join(root, "two.sock");
      writeFileSync(
        configuration,
        `using Workerd = import "/workerd/workerd.capnp"; const config :Workerd.Config = (services = [
          (name = "first", worker = ${worker(first, '(name = "SECOND", service = "second")')}), (name = "second", worker = ${worker(second, "")})],
          sockets = [(name = "s", address = "unix:${socket}", http = (), service = "first")]);`,
      );
      helpers.push(spawn(path, ["serve", configuration], { stdio: "inherit" }));

      assert.deepEqual(JSON.parse(await getFrom(socket)), {
        shared: "refused",
        view: "refused",
        memory: "refused",
        copied: "written",
        plain: 0,
        afterwards: 0,
        globals: "undefined,",
        broadcast: "undefined",
      });
    });

    it("cannot have more processes than it is allowed", async () => {
      const [line] = await attempt(root, engine, {}, [
        [
          "fork without end",
          "do { my $n = 0; while (defined(my $p = fork())) { if (!$p) { sleep 5; exit } $n++; last if $n > 500 } $n > 500 }",
        ],
      ]);

      assert.match(line ?? "", /failed/);
    });
  });
}

/** Starts perl in a cage; gives the container's id. Its output is in ROOT/NAME.log. */
async function start(root: string, engine: RuntimeEngine, name: string, program: string): Promise<string> {
  const id = `${name}-${count++}`;
  const sandbox = await engine.sandboxes.ensure({
    id,
    hostname: name,
    sysctls: {},
    hostNetwork: false,
    hostPid: false,
    hostIpc: false,
    sharedPid: false,
    cgroupPath: `${testCgroup(root)}/${id}`,
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
async function attempt(
  root: string,
  engine: RuntimeEngine,
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
  const id = await start(
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

/** Waits until somebody answers at the socket. */
async function getFrom(socketPath: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await new Promise((resolve, reject) => {
        const call = request({ socketPath, path: "/" }, (answer) => {
          let text = "";
          answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
          answer.on("end", () => resolve(text));
        });
        call.on("error", reject).end();
      });
    } catch (error) {
      if (tries > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
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

function skipReason(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (process.arch !== "x64") return "knows the system calls of x64 only";
  return existsSync(perl) ? false : "needs perl, which tries to break out";
}
