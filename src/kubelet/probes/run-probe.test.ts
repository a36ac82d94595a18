import assert from "node:assert/strict";
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createTcp } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import type { Probe } from "#api/generated/types/core-v1.ts";
import type { ProbeTarget } from "./probe-target.ts";
import { runProbe } from "./run-probe.ts";

const never = new AbortController().signal;

type Listener = { listen(port: number, host: string, done: () => void): unknown; address(): unknown; close(): unknown };

async function listening<T>(server: Listener, body: (port: number) => Promise<T>): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await body((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

function target(port: number, exec?: ProbeTarget["exec"]): ProbeTarget {
  return {
    container: {
      name: "main",
      ports: [{ name: "web", containerPort: port }],
      env: [{ name: "FILE", value: "/tmp/ok" }],
    },
    podIP: () => "127.0.0.1",
    exec: exec ?? (async () => ({ exitCode: 0, output: "" })),
  };
}

const look = (probe: Probe, port = 1, exec?: ProbeTarget["exec"]) => runProbe(probe, target(port, exec), never);

describe("an HTTP probe", () => {
  it("succeeds from 200 to 399, by number and by the port's name, with its own headers", async () => {
    const seen: string[] = [];
    const server = createHttp((request, response) => {
      seen.push(
        `${request.url} ${request.headers["user-agent"]} ${request.headers["x-token"] ?? ""} ${request.headers.host}`,
      );
      response.end("fine");
    });
    await listening(server, async (port) => {
      const httpHeaders = [
        { name: "X-Token", value: "abc" },
        { name: "Host", value: "example.org" },
      ];
      assert.deepEqual(await look({ httpGet: { path: "/healthz?full=1", port: "web", httpHeaders } }, port), {
        result: "success",
        output: "fine",
      });
      assert.deepEqual(seen, ["/healthz?full=1 kube-probe/1.36 abc example.org"]);
    });
  });

  it("fails with the status code, without the body", async () => {
    const server = createHttp((_, response) => void response.writeHead(503).end("secret"));
    await listening(server, async (port) => {
      assert.deepEqual(await look({ httpGet: { port } }), {
        result: "failure",
        output: "HTTP probe failed with statuscode: 503",
      });
    });
  });

  it("follows redirects on its host, and takes others as a warning", async () => {
    const server = createHttp((request, response) => {
      if (request.url === "/here") response.writeHead(302, { location: "/there" }).end();
      else if (request.url === "/away") response.writeHead(302, { location: "http://example.org/" }).end("bye");
      else response.end("arrived");
    });
    await listening(server, async (port) => {
      assert.equal((await look({ httpGet: { port, path: "/here" } })).output, "arrived");
      assert.deepEqual(await look({ httpGet: { port, path: "/away" } }), {
        result: "warning",
        output: "Probe terminated redirects, Response body: bye",
      });
    });
  });

  it("fails in Go's words when nobody listens or the answer takes too long", async () => {
    const refused = await look({ httpGet: { port: 1 } });
    assert.equal(refused.output, 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused');
    const server = createHttp(() => {});
    await listening(server, async (port) => {
      const late = await look({ httpGet: { port }, timeoutSeconds: 0.05 });
      assert.match(late.output, /context deadline exceeded/);
      server.closeAllConnections();
    });
  });

  it("cannot be carried out for a port that nobody names", async () => {
    await assert.rejects(look({ httpGet: { port: "none" } }), { message: 'failed to find port "none"' });
  });
});

describe("other probes", () => {
  it("connect over TCP", async () => {
    await listening(
      createTcp((socket) => socket.destroy()),
      async (port) => {
        assert.equal((await look({ tcpSocket: { port } })).result, "success");
      },
    );
    assert.deepEqual(await look({ tcpSocket: { port: 1 } }), {
      result: "failure",
      output: "dial tcp 127.0.0.1:1: connect: connection refused",
    });
  });

  it("run commands with variables of plain values", async () => {
    const exec: ProbeTarget["exec"] = async (command) => ({ exitCode: 1, output: command.join(" ") });
    assert.deepEqual(await look({ exec: { command: ["cat", "$(FILE)"] } }, 1, exec), {
      result: "failure",
      output: "cat /tmp/ok",
    });
  });

  it("ask for health over gRPC", async () => {
    const asked: string[] = [];
    const server = createHttp2();
    server.on("stream", (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const service = Buffer.concat(chunks).subarray(7).toString("utf8");
        asked.push(`${headers[":path"]} ${service}`);
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () =>
          stream.sendTrailers({ "grpc-status": service === "gone" ? "5" : "0", "grpc-message": "unknown%20service" }),
        );
        stream.end(service === "gone" ? "" : Buffer.from([0, 0, 0, 0, 2, 8, service === "sick" ? 2 : 1]));
      });
    });
    await listening(server, async (port) => {
      assert.deepEqual(await look({ grpc: { port } }), { result: "success", output: "service healthy" });
      assert.deepEqual(await look({ grpc: { port, service: "sick" } }), {
        result: "failure",
        output: 'service unhealthy (responded with "NOT_SERVING")',
      });
      assert.match(
        (await look({ grpc: { port, service: "gone" } })).output,
        /^error: health rpc probe failed: .*unknown service$/,
      );
      assert.equal(asked[1], "/grpc.health.v1.Health/Check sick");
    });
    assert.match(
      (await look({ grpc: { port: 1 } })).output,
      /^error: failed to connect service at "127.0.0.1:1": .*connection refused/,
    );
  });
});
