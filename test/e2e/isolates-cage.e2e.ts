/**
 * Attempts to break out of an isolate's cage, made by a program that can make any system call (perl in workerd's place, in the very same cage: as if the engine had been
 * taken over), and by code inside of a real isolate. Each is listed, tried and has to fail. Root only, x64 (numbers of system calls).
 * Run: node tools/node24.mjs test/e2e/isolates-cage.e2e.ts
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import { findWorkerd } from "#providers/isolates/workerd-program.ts";
import { openRuntime, type RuntimeEngine } from "#runtime/runtime-engine.ts";
import { attempt, attempts, startPerl, whyNoAttempts } from "../support/cage-attempts.ts";
import { runInside, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const why = skipReason();

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
      const id = await startPerl(root, engine, "neighbour", "sleep 1000");
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
      const other = engine.containers.runningProcess(await startPerl(root, engine, "other", "sleep 1000")).pid;
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

function skipReason(): string | false {
  return process.getuid?.() === 0 ? whyNoAttempts() : "needs root";
}
