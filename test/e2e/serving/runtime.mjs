/**
 * The program of the runtime contract's tests: tells what it sees of its request and of the container around it, takes its time where asked to, and fails its probes when told to.
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";

const files = [
  "/dev/fd",
  "/dev/full",
  "/dev/null",
  "/dev/ptmx",
  "/dev/random",
  "/dev/stdin",
  "/dev/stdout",
  "/dev/stderr",
  "/dev/tty",
  "/dev/urandom",
  "/dev/zero",
  "/dev/console",
  "/proc/self/fd",
  "/proc/self/fd/0",
  "/proc/self/fd/1",
  "/proc/self/fd/2",
  "/tmp",
  "/etc/resolv.conf",
];
const cgroups = [
  "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  "/sys/fs/cgroup/cpu/cpu.shares",
  "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
  "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/cpu.max",
  "/sys/fs/cgroup/cpu.weight",
];

const { READY_DELAY_MS = "0", LISTEN_DELAY_MS = "0", PROTOCOL, PORT } = process.env;
const startedMs = Date.now();
let isFailing = false;
let livenessChecks = 0;

/** What comes of it, or undefined where it throws. */
function attempt(what) {
  try {
    return what();
  } catch {
    return undefined;
  }
}

function fileOf(path) {
  const followed = attempt(() => statSync(path));
  const source = attempt(() => readlinkSync(path));
  const own = attempt(() => lstatSync(path));
  if (own === undefined) return { isThere: false };
  const mode = (followed ?? own).mode & 0o777;
  return { isThere: true, isDir: followed?.isDirectory() ?? false, source, mode: mode.toString(8) };
}

function cgroupOf(path) {
  const value = attempt(() => readFileSync(path, "utf8").trim());
  if (value === undefined) return undefined;
  const write = () => {
    accessSync(path, constants.W_OK);
    return true;
  };
  return { value, isWritable: attempt(write) ?? false };
}

function mountOf(line) {
  const [device, path, type, options = ""] = line.split(" ");
  return { device, path, type, options: options.split(",") };
}

/** True when the end of standard input is there at once. */
function stdinIsAtEnd() {
  return attempt(() => readSync(0, Buffer.alloc(1), 0, 1, null)) === 0;
}

function info(request) {
  const all = (paths, look) => Object.fromEntries(paths.map((path) => [path, look(path)]));
  return {
    request: {
      host: request.headers.host ?? request.headers[":authority"],
      headers: request.headers,
      version: request.httpVersion,
    },
    files: all(files, fileOf),
    cgroups: all(cgroups, cgroupOf),
    mounts: readFileSync("/proc/mounts", "utf8").trim().split("\n").map(mountOf),
    envs: process.env,
    args: process.argv,
    stdinIsAtEnd: stdinIsAtEnd(),
    user: { uid: process.getuid(), euid: process.geteuid(), cwd: process.cwd() },
  };
}

function isReady() {
  return !isFailing && Date.now() - startedMs >= Number(READY_DELAY_MS);
}

const probe = (response, isGood) => response.writeHead(isGood ? 200 : 503).end(isGood ? "Hello World" : "failing");

const answers = {
  "/healthz": (_request, response) => response.end("Hello World"),
  "/healthz/readiness": (_request, response) => probe(response, isReady()),
  "/healthz/liveness": (_request, response) => {
    livenessChecks++;
    probe(response, !isFailing);
  },
  "/healthz/livenessCounter": (_request, response) => response.end(String(livenessChecks)),
  "/start-failing": (_request, response) => {
    isFailing = true;
    response.end("failing");
  },
  "/file": (request, response) => {
    const path = new URL(request.url, "http://localhost").searchParams.get("path");
    const descriptor = attempt(() => openSync(path, "r"));
    if (descriptor === undefined) return response.writeHead(404).end();
    response.end(readFileSync(descriptor));
    closeSync(descriptor);
  },
  "/body": async (request, response) => {
    let bytes = 0;
    for await (const piece of request) bytes += piece.length;
    response.end(String(bytes));
  },
  "/slow": async (request, response) => {
    const { searchParams } = new URL(request.url, "http://localhost");
    const wait = (name) => new Promise((resolve) => setTimeout(resolve, Number(searchParams.get(name) ?? 0)));
    await wait("first");
    response.writeHead(200);
    response.write("first\n");
    await wait("rest");
    response.end("last\n");
  },
};

function answer(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const own = answers[pathname];
  if (own !== undefined) return own(request, response);
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(info(request)));
}

process.on("SIGTERM", () => process.exit(0));
const server = PROTOCOL === "h2c" ? createHttp2Server(answer) : createServer(answer);
setTimeout(() => writeFileSync("/tmp/ready", ""), Number(READY_DELAY_MS));
setTimeout(() => server.listen(Number(PORT)), Number(LISTEN_DELAY_MS));
