/**
 * Connections that mean harm: each ends, or is answered as upstream answers, and everybody else is served meanwhile.
 */
import assert from "node:assert/strict";
import { get } from "node:https";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { FakeClock } from "#component-base/clock.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import {
  credit,
  END_HEADERS,
  END_STREAM,
  FRAME,
  type FrameHead,
  frame,
  frameReader,
  headerBlock,
  PREFACE,
  setting,
} from "#apiserver/testing/http2-frames.ts";

const GET = { ":method": "GET", ":scheme": "https", ":authority": "localhost" };
const configMaps = "/api/v1/namespaces/default/configmaps";
const PATIENCE = { headerMs: 400, idleMs: 400 };
/** On a busy machine even an honest handshake may outlast that patience. */
const ATTEMPTS = 10;
const INTERNAL_ERROR = 2;
const COMPRESSION_ERROR = 9;
const ENHANCE_YOUR_CALM = 11;

let server: TestApiServer;

before(async () => {
  server = await startTestApiServer({ https: true, patience: PATIENCE });
});
after(() => server.stop());

type Raw = {
  readonly socket: TLSSocket;
  readonly frames: { readonly head: FrameHead; readonly payload: Buffer }[];
  readonly closed: Promise<void>;
};

async function dial(protocol: "h2" | "http/1.1", to: TestApiServer = server): Promise<TLSSocket> {
  const ca = to.pki?.ca.certificate ?? "";
  for (let attempt = 1; ; attempt++) {
    const socket = connect({ host: "127.0.0.1", port: to.server.port, ca, ALPNProtocols: [protocol] });
    const isThere = new Promise<boolean>((resolve) => {
      socket.once("secureConnect", () => resolve(true));
      socket.once("close", () => resolve(false));
    });
    socket.on("error", () => {});
    if (await isThere) return socket;
    assert.ok(attempt < ATTEMPTS, "no connection");
  }
}

async function http2(to: TestApiServer = server): Promise<Raw> {
  const socket = await dial("h2", to);
  const frames: { head: FrameHead; payload: Buffer }[] = [];
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const read = frameReader((head, payload) => frames.push({ head, payload }));
  socket.on("data", read);
  socket.write(Buffer.concat([PREFACE, frame({ type: FRAME.settings, flags: 0, id: 0 })]));
  return { socket, frames, closed };
}

function request(id: number, path: string, extra: Readonly<Record<string, string>> = {}): Buffer {
  const block = headerBlock({ ...GET, ":path": path, ...extra });
  return frame({ type: FRAME.headers, flags: END_HEADERS | END_STREAM, id }, block);
}

/** The error of the GOAWAY that a connection ended with. */
function goAway({ frames }: Raw): number | undefined {
  return frames.findLast(({ head }) => head.type === FRAME.goAway)?.payload.readUInt32BE(4);
}

async function status(path: string): Promise<number> {
  for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
    const found = await new Promise<number>((resolve) => {
      get(server.url + path, { ca: server.pki?.ca.certificate, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on("error", () => resolve(0));
    });
    if (found !== 0) return found;
  }
  return 0;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function isIdle(): boolean {
  return server.server.chain.flowControl.count === 0;
}

test("who opens streams and resets them at once is sent away, and leaves nothing under way (CVE-2023-44487)", async () => {
  const raw = await http2();
  const cancel = Buffer.from([0, 0, 0, 8]);
  for (let id = 1; id < 6000; id += 2) {
    raw.socket.write(Buffer.concat([request(id, configMaps), frame({ type: FRAME.rstStream, flags: 0, id }, cancel)]));
  }
  await raw.closed;

  // The word may be lost when the connection ends with something unread.
  assert.ok([undefined, INTERNAL_ERROR, ENHANCE_YOUR_CALM].includes(goAway(raw)));
  assert.equal(await status(configMaps), 200);
  await until(isIdle);
});

test("who gives up on a few requests in one breath is served as before", async () => {
  const raw = await http2();
  const cancel = Buffer.from([0, 0, 0, 8]);
  const given = Array.from({ length: 10 }, (_, index) => index * 2 + 1);
  const frames = given.flatMap((id) => [
    request(id, configMaps),
    frame({ type: FRAME.rstStream, flags: 0, id }, cancel),
  ]);

  raw.socket.write(Buffer.concat([...frames, request(101, configMaps)]));

  await until(() => raw.frames.some(({ head }) => head.type === FRAME.headers && head.id === 101));
  assert.equal(goAway(raw), undefined);
  raw.socket.destroy();
});

test("headers that never end close their connection (CVE-2024-24549 and its kin)", async () => {
  const raw = await http2();
  const block = headerBlock({ ...GET, ":path": configMaps });
  raw.socket.write(frame({ type: FRAME.headers, flags: 0, id: 1 }, block));
  const more = frame({ type: FRAME.continuation, flags: 0, id: 1 }, headerBlock({ "x-a": "b".repeat(1000) }));
  for (let i = 0; i < 5000; i++) raw.socket.write(more);
  await raw.closed;

  assert.equal(await status(configMaps), 200);
});

test("pings and settings without end, whose answers nobody reads, close their connection (CVE-2019-9512, CVE-2019-9515)", async () => {
  const ping = frame({ type: FRAME.ping, flags: 0, id: 0 }, Buffer.alloc(8));
  for (const flood of [ping, setting(0x4, 65_535)]) {
    const raw = await http2();
    raw.socket.pause();
    const many = Buffer.concat(Array.from({ length: 1000 }, () => flood));
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 200 && !raw.socket.destroyed; i++) {
      await new Promise<void>((resolve) => void raw.socket.write(many, () => resolve()));
    }
    raw.socket.resume();
    await raw.closed;
    assert.ok(process.memoryUsage().rss - before < 100e6);
  }

  assert.equal(await status(configMaps), 200);
});

test("a request on a stream that there may not be any more is refused, those before it are answered", async () => {
  const raw = await http2();
  const streams = Array.from({ length: 150 }, (_, index) => 1 + 2 * index);
  raw.socket.write(Buffer.concat(streams.map((id) => request(id, `${configMaps}?watch=1`))));
  await until(() => raw.frames.filter(({ head }) => head.type === FRAME.rstStream).length >= 50);

  const refused = raw.frames.filter(({ head }) => head.type === FRAME.rstStream).map(({ head }) => head.id);
  const answered = raw.frames.filter(({ head }) => head.type === FRAME.headers).map(({ head }) => head.id);
  await until(() => raw.frames.filter(({ head }) => head.type === FRAME.headers).length >= 100);
  assert.deepEqual(refused, streams.slice(100));
  assert.ok(answered.every((id) => id < 201));
  raw.socket.destroy();
});

test("headers beyond a mebibyte are refused, over HTTP/1.1 with 431", async () => {
  const patient = await startTestApiServer({ https: true });
  const socket = await dial("http/1.1", patient);
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(`GET ${configMaps}?labelSelector=`);
  // Piece by piece, because an answer may get lost when the connection ends with something unread.
  for (let i = 0; i < 40 && answer === ""; i++) {
    await new Promise((resolve) => socket.write("a".repeat(32_000), resolve));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await closed;
  assert.match(answer, /^HTTP\/1\.1 431 /);

  const raw = await http2(patient);
  const block = headerBlock({ ...GET, ":path": configMaps, "x-big": "b".repeat(1_200_000) });
  const cut = (from: number): Buffer => block.subarray(from, from + 16_000);
  raw.socket.write(frame({ type: FRAME.headers, flags: END_STREAM, id: 1 }, cut(0)));
  for (let at = 16_000; at < block.length; at += 16_000) {
    const flags = at + 16_000 >= block.length ? END_HEADERS : 0;
    raw.socket.write(frame({ type: FRAME.continuation, flags, id: 1 }, cut(at)));
  }
  await raw.closed;
  // nghttp2 takes no field above 64 KiB and has no milder word for it.
  assert.ok([undefined, COMPRESSION_ERROR].includes(goAway(raw)));
  assert.ok(raw.socket.destroyed);
  raw.socket.destroy();
  await patient.stop();
});

test("connections that send a head byte by byte, or nothing, are cut off; others are served meanwhile", async () => {
  const started = performance.now();
  const slow = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const socket = await dial(index % 2 === 0 ? "http/1.1" : "h2");
      const head = index % 2 === 0 ? Buffer.from(`GET ${configMaps} HTTP/1.1\r\nx-a: ${"b".repeat(500)}`) : PREFACE;
      let at = 0;
      const timer = setInterval(() => socket.write(head.subarray(at, ++at)), 20);
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      return { closed: closed.then(() => clearInterval(timer)) };
    }),
  );
  assert.equal(await status(configMaps), 200);
  await Promise.all(slow.map(({ closed }) => closed));

  assert.ok(performance.now() - started > PATIENCE.headerMs / 2);
});

test("a body that does not end in time is answered with 504, and no more of it is waited for", async () => {
  const clock = new FakeClock(Date.now());
  const slow = await startTestApiServer({ https: true, clock });
  const socket = await dial("http/1.1", slow);
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(`POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"meta`);
  const raw = await http2(slow);
  const block = headerBlock({ ...GET, ":method": "POST", ":path": configMaps });
  raw.socket.write(frame({ type: FRAME.headers, flags: END_HEADERS, id: 1 }, block));
  raw.socket.write(frame({ type: FRAME.data, flags: 0, id: 1 }, Buffer.from('{"meta')));
  await until(() => slow.server.chain.flowControl.count === 2);

  await clock.advance(60_001);
  await closed;
  await until(() => raw.frames.some(({ head }) => head.type === FRAME.rstStream && head.id === 1));

  assert.match(answer, /^HTTP\/1\.1 504 [^]*did not complete within the allotted timeout/);
  assert.ok(raw.frames.some(({ head, payload }) => head.type === FRAME.data && payload.includes('"code":504')));
  assert.equal(slow.server.chain.flowControl.count, 0);
  raw.socket.destroy();
  await slow.stop();
});

test("a connection over which nothing happens is closed, whatever pings it sends; one with a watch is not", async () => {
  const [idle, watching] = await Promise.all([http2(), http2()]);
  idle.socket.write(request(1, configMaps));
  watching.socket.write(request(1, `${configMaps}?watch=1`));
  const ping = frame({ type: FRAME.ping, flags: 0, id: 0 }, Buffer.alloc(8));
  const timer = setInterval(() => idle.socket.write(ping), 50);
  await idle.closed;
  clearInterval(timer);

  assert.ok(idle.frames.some(({ head }) => head.type === FRAME.headers));
  await new Promise((resolve) => setTimeout(resolve, PATIENCE.idleMs));
  assert.equal(watching.socket.destroyed, false);
  watching.socket.destroy();
});

test("a window that is opened beyond all bounds is an error of its stream", async () => {
  const raw = await http2();
  raw.socket.write(
    Buffer.concat([request(1, `${configMaps}?watch=1`), credit(1, 2 ** 31 - 1), credit(1, 2 ** 31 - 1)]),
  );
  await until(() => raw.socket.destroyed || raw.frames.some(({ head }) => head.type === FRAME.rstStream));

  assert.equal(await status(configMaps), 200);
  raw.socket.destroy();
});
