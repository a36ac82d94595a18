/**
 * A real cluster under clients that mean harm: who has no right gets nothing opened, and connections that hold, flood or never read keep nobody else from being served, nor grow the control plane.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { ClusterStatus } from "#cli/machine.ts";
import { END_HEADERS, END_STREAM, FRAME, frame, headerBlock, PREFACE } from "#apiserver/testing/http2-frames.ts";
import { canRunContainers, eventually, startCluster, type TestCluster } from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const configMaps = "/api/v1/namespaces/default/configmaps";

describe("a cluster under attack", { skip }, () => {
  let cluster: TestCluster;
  let server: URL;
  let keys: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  const sockets: TLSSocket[] = [];

  const status = async () =>
    JSON.parse((await cluster.nodeless(["status", "-o", "json", "--name", "hostile-e2e"])).stdout) as ClusterStatus;
  const controlPlane = async () => {
    const pid = (await status()).processes.find(({ role }) => role === "control-plane")?.pid;
    assert.ok(pid !== undefined);
    return pid;
  };

  before(async () => {
    cluster = await startCluster("hostile-e2e");
    const { stdout } = await cluster.kubectl([
      "config",
      "view",
      "--minify",
      "-o",
      "jsonpath={.clusters[0].cluster.server}",
    ]);
    server = new URL(stdout);
    const read = async (name: string) => readFileSync(join((await status()).dataFolder, "pki", name));
    keys = { ca: await read("ca.crt"), cert: await read("admin.crt"), key: await read("admin.key") };
  });

  after(async () => {
    for (const socket of sockets) socket.destroy();
    await cluster?.remove();
  });

  async function dial(protocol: "h2" | "http/1.1"): Promise<TLSSocket> {
    const socket = connect({ host: server.hostname, port: Number(server.port), ...keys, ALPNProtocols: [protocol] });
    sockets.push(socket);
    socket.on("error", () => {});
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    return socket;
  }

  function request(id: number, path: string): Buffer {
    const block = headerBlock({ ":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path });
    return frame({ type: FRAME.headers, flags: END_HEADERS | END_STREAM, id }, block);
  }

  test("a token without rights opens neither exec nor port-forward", async () => {
    await eventually("the default account", async () => {
      const { code } = await cluster.kubectl(["get", "serviceaccount", "default"], { mayFail: true });
      return code === 0;
    });
    const token = (await cluster.kubectl(["create", "token", "default"])).stdout.trim();
    // The context's certificate would go before the token.
    await cluster.kubectl(["config", "set-credentials", "nobody", `--token=${token}`]);
    const run = (args: readonly string[]) => cluster.kubectl(["--user", "nobody", ...args], { mayFail: true });

    for (const args of [
      ["exec", "some-pod", "--", "sh"],
      ["port-forward", "pod/some-pod", "1:1"],
      ["get", "secrets"],
    ]) {
      const { code, stderr } = await run(args);
      assert.notEqual(code, 0);
      assert.match(stderr, /forbidden|Forbidden/, args.join(" "));
    }
  });

  test("slow heads, floods of resets and watches that never read keep nobody out", async () => {
    const pid = await controlPlane();
    const slow = Array.from({ length: 300 }, async (_, index) => {
      const socket = await dial(index % 2 === 0 ? "http/1.1" : "h2");
      socket.write("GET / HTTP/1.1\r\nx-slow");
    });
    await Promise.all(slow);
    for (let i = 0; i < 20; i++) {
      const socket = await dial("h2");
      socket.pause();
      socket.write(
        Buffer.concat([PREFACE, frame({ type: FRAME.settings, flags: 0, id: 0 }), request(1, `${configMaps}?watch=1`)]),
      );
    }
    const reset = (id: number) => frame({ type: FRAME.rstStream, flags: 0, id }, Buffer.from([0, 0, 0, 8]));
    for (let i = 0; i < 10; i++) {
      const socket = await dial("h2");
      socket.resume();
      socket.write(Buffer.concat([PREFACE, frame({ type: FRAME.settings, flags: 0, id: 0 })]));
      for (let id = 1; id < 4000; id += 2) socket.write(Buffer.concat([request(id, configMaps), reset(id)]));
    }
    const text = "x".repeat(500_000);
    for (let i = 0; i < 20; i++) {
      const body = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "noise" },
        data: { text, i: `${i}` },
      });
      await cluster.kubectl(["replace", "--force", "--grace-period=0", "-f", "-"], { input: body, timeoutMs: 20_000 });
    }

    const started = performance.now();
    await cluster.kubectl(["get", "namespaces"], { timeoutMs: 10_000 });
    assert.ok(performance.now() - started < 5000);
    assert.equal(await controlPlane(), pid, "the control plane is the same process");
    const resident = Number(/^RssAnon:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
    assert.ok(resident < 400, `${resident.toFixed(0)} MB`);
  });
});
