import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import { pythonServer } from "./python-server.ts";

// The system's own: a version manager's stands in front and takes its time.
const python = ["/usr/bin/python3", "python3"].find((program) => spawnSync(program, ["--version"]).status === 0);
const skip = python === undefined ? "python3 is not on this machine" : false;

const module = `
import asyncio, time
def handler(request):
    print("plain", request.path, request.query.get("a"))
    if request.path == "/throw":
        raise ValueError("as asked")
    if request.path == "/slow":
        time.sleep(0.3)
    return {"body": request.text}, 201, {"X-One": "1"}

def wsgi(environ, start_response):
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), environ["wsgi.input"].read()]

async def asgi(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 203, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": b"first,", "more_body": True})
    await send({"type": "http.response.body", "body": message["body"]})
`;

type Answer = { readonly status: number; readonly text: string; readonly headers: Readonly<Record<string, unknown>> };

describe("a function in Python", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-python-"));
  const children: ChildProcess[] = [];
  writeFileSync(join(folder, "server.py"), pythonServer);
  writeFileSync(join(folder, "main.py"), module);
  after(() => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  async function serve(
    name: string,
  ): Promise<{ readonly port: number; readonly child: ChildProcess; readonly said: () => string }> {
    const port = await freePort();
    const args = [join(folder, "server.py"), join(folder, "main.py"), name];
    const child = spawn(python ?? "", args, {
      env: { ...process.env, PORT: String(port), PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece: Buffer) => (said += String(piece)));
    for (let round = 0; round < 200; round++) {
      if (await ask(port, { path: "/up" }).catch(() => undefined)) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { port, child, said: () => said };
  }

  it("is a handler, and its lines carry the request's identifier", async () => {
    const { port, said } = await serve("");
    const answer = await ask(port, {
      path: "/x?a=b",
      method: "POST",
      body: "hello",
      headers: { "x-request-id": "id-1" },
    });
    const failed = await ask(port, { path: "/throw", headers: { "x-request-id": "id-2" } });

    assert.deepEqual([answer.status, JSON.parse(answer.text), answer.headers["x-one"]], [201, { body: "hello" }, "1"]);
    assert.equal(failed.status, 500);
    for (let round = 0; round < 100 && !said().includes("as asked"); round++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.match(said(), /^\[id-1\] plain \/x b$/m);
    assert.match(said(), /^\[id-2\] Uncaught Traceback[^]*^\[id-2\] ValueError: as asked$/m);
  });

  it("is a WSGI or an ASGI application", async () => {
    const [wsgi, asgi] = await Promise.all([serve("wsgi"), serve("asgi")]);
    const one = await ask(wsgi.port, { path: "/a%20b", method: "POST", body: "c" });
    const other = await ask(asgi.port, { path: "/d", method: "POST", body: "second" });

    assert.deepEqual([one.status, one.text], [202, "/a bc"]);
    assert.deepEqual([other.status, other.text, other.headers["x-path"]], [203, "first,second", "/d"]);
  });

  it("ends when it is told to, after what is under way, whoever keeps a connection", async () => {
    const { port, child } = await serve("");
    const agent = new Agent({ keepAlive: true });
    await ask(port, { path: "/kept", agent });
    const slow = ask(port, { path: "/slow" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGTERM");
    const [[code], answer] = await Promise.all([once(child, "exit") as Promise<[number]>, slow]);
    agent.destroy();

    assert.deepEqual([code, answer.status], [0, 201]);
  });
});

function ask(
  port: number,
  options: {
    readonly path: string;
    readonly method?: string;
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly agent?: Agent;
  },
): Promise<Answer> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, ...rest }, (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => (text += String(piece)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
    });
    asked.on("error", reject).end(body);
  });
}
