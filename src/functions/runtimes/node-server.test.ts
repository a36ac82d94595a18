import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import { bundleCode } from "#functions/build/bundle-code.ts";
import { loadEsbuild } from "#functions/build/esbuild.ts";

const source = `
  import { setTimeout as sleep } from "node:timers/promises";
  export default {
    async fetch(request: Request, env: Record<string, string>): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/throw") throw new Error("as asked");
      if (pathname === "/nothing") return undefined as unknown as Response;
      if (pathname === "/never") return new Promise(() => {});
      if (pathname === "/slow") await sleep(300);
      console.log("asked for %s", pathname, { a: 1 });
      const headers = new Headers({ "x-env": env.GREETING ?? "" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response(request.body, { status: 201, headers });
    },
  };`;

type Answer = { readonly status: number; readonly text: string; readonly headers: Readonly<Record<string, unknown>> };

describe("a function in Node", () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-node-"));
  let child: ChildProcess;
  let port = 0;
  let said = "";
  before(async () => {
    writeFileSync(join(folder, "index.ts"), source);
    const esbuild = await loadEsbuild();
    const { files } = await bundleCode(esbuild, { folder, entrypoint: "index.ts", runtime: "node" });
    await esbuild.stop(); // its program would keep this process
    const program = join(folder, "function.mjs");
    writeFileSync(program, files.get("index.js") ?? "");
    port = await freePort();
    const environment = { ...process.env, PORT: String(port), GREETING: "hello", NODELESS_TIMEOUT_SECONDS: "0.9" };
    child = spawn(process.execPath, [program], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece: Buffer) => (said += String(piece)));
    for (let round = 0; round < 200 && !(await ask("/up").catch(() => undefined)); round++)
      await new Promise((resolve) => setTimeout(resolve, 10));
  });
  after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  function ask(
    path: string,
    options: { readonly body?: string; readonly id?: string; readonly agent?: Agent; readonly probe?: boolean } = {},
  ): Promise<Answer> {
    const { body, id, agent, probe } = options;
    const headers = {
      ...(id === undefined ? {} : { "x-request-id": id }),
      ...(probe === true ? { "user-agent": "kube-probe/1.36" } : {}),
    };
    const method = body === undefined ? "GET" : "POST";
    return new Promise((resolve, reject) => {
      const asked = request(
        { host: "127.0.0.1", port, path, method, headers, ...(agent === undefined ? {} : { agent }) },
        (response) => {
          let text = "";
          response.on("data", (piece: Buffer) => (text += String(piece)));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
        },
      );
      asked.on("error", reject).end(body);
    });
  }
  const untilSaid = async (text: string) => {
    for (let round = 0; round < 200 && !said.includes(text); round++)
      await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it("gets requests and gives answers as the web has them", async () => {
    const answer = await ask("/x", { body: "a body" });

    assert.deepEqual([answer.status, answer.text, answer.headers["x-env"]], [201, "a body", "hello"]);
    assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
  });

  it("says whose each line is, and what was thrown, while whoever asked gets 500", async () => {
    await ask("/line", { id: "id-1" });
    const [thrown, nothing] = [await ask("/throw", { id: "id-2" }), await ask("/nothing", { id: "id-3 \u00e9x" })];
    await untilSaid("not a Response");

    assert.deepEqual([thrown.status, nothing.status], [500, 500]);
    assert.match(said, /^\[id-1\] asked for \/line \{ a: 1 \}$/m);
    assert.match(said, /^\[id-2\] Uncaught Error: as asked\n\[id-2\] +at /m);
    assert.match(said, /^\[id-3x\] Uncaught TypeError: the handler gave undefined, not a Response$/m);
  });

  it("says that it took too long, in the log and to whoever asked", async () => {
    const answer = await ask("/never", { id: "id-4" });
    await untilSaid("No answer");

    assert.equal(answer.status, 504);
    assert.match(said, /^\[id-4\] No answer after 0\.9 s \(timeoutSeconds\): whoever asked was told 504$/m);
  });

  it("answers the kubelet without its code", async () => {
    assert.equal((await ask("/.well-known/nodeless/alive", { probe: true })).status, 204);
    assert.equal((await ask("/.well-known/nodeless/alive")).status, 201);
  });

  it("ends when it is told to, after what is under way, whoever keeps a connection", async () => {
    const agent = new Agent({ keepAlive: true });
    await ask("/kept", { agent });
    const slow = ask("/slow");
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGTERM");
    const [[code], answer] = await Promise.all([once(child, "exit") as Promise<[number]>, slow]);
    agent.destroy();

    assert.deepEqual([code, answer.status], [0, 201]);
  });
});
