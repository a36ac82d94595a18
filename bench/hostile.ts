/**
 * What requests and connections that mean harm cost the API server: CPU, and the longest time that its event loop stood still. `npm run bench -- hostile [--only=TEXT] [--profile=FILE]`.
 */
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { END_HEADERS, END_STREAM, FRAME, frame, headerBlock, PREFACE } from "#apiserver/testing/http2-frames.ts";
import { ApiProcess } from "./support/api-process.ts";
import { type Attack, attacks, legal } from "./support/attacks.ts";

type Row = {
  readonly what: string;
  readonly status: string;
  readonly "took ms": number;
  readonly "CPU ms": number;
  readonly "stall ms": number;
  /** The longest turn by CPU time: what the stall would be on a machine that does nothing else. */
  readonly "turn ms": number;
  readonly "GC ms": number;
  readonly MB: number;
};

/** Only what has this text in its name; `connections` for those. */
const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice(7) ?? "";
const profile = process.argv.find((argument) => argument.startsWith("--profile="))?.slice(10);

const configMaps = "/api/v1/namespaces/default/configmaps";
const api = await ApiProcess.start();
const { access } = api;

/** The status; 0 when the connection ended without one. */
function send(attack: Attack): Promise<number> {
  const hasToken = attack.headers?.["authorization"] !== undefined;
  const { ca, cert, key, port } = access;
  const options = {
    host: "127.0.0.1",
    port,
    ca,
    ...(hasToken ? {} : { cert, key }),
    agent: false,
    path: attack.path ?? configMaps,
    method: attack.method ?? "POST",
    headers: { "content-type": attack.type ?? "application/json", ...attack.headers },
  };
  return new Promise((resolve) => {
    const sent = request(options, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", () => resolve(0));
    sent.end(attack.body);
  });
}

async function measured(what: string, work: () => Promise<string>): Promise<Row> {
  await api.usage();
  const startedMs = performance.now();
  const status = await work();
  const took = performance.now() - startedMs;
  await sleep(20);
  const usage = await api.usage();
  return {
    what,
    status,
    "took ms": Math.round(took),
    "CPU ms": Math.round(usage.cpuMicros / 1000),
    "stall ms": Math.round(usage.longestStallMs * 10) / 10,
    "turn ms": Math.round(usage.longestTurnMs * 10) / 10,
    "GC ms": Math.round(usage.longestGcMs * 10) / 10,
    MB: Math.round(usage.residentBytes / 1e6),
  };
}

function requests(all: readonly Attack[]): Promise<readonly Row[]> {
  return inTurn(all, (attack) =>
    measured(attack.name, async () => {
      const status = await send(attack);
      return attack.statuses.includes(status) ? String(status) : `${status}, not ${attack.statuses.join(" or ")}`;
    }),
  );
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

async function dial(protocol: "h2" | "http/1.1"): Promise<TLSSocket> {
  const socket = connect({ ...access, host: "127.0.0.1", ALPNProtocols: [protocol] });
  socket.on("error", () => {});
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return socket;
}

function h2Request(id: number, path: string): Buffer {
  const block = headerBlock({ ":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path });
  return frame({ type: FRAME.headers, flags: END_HEADERS | END_STREAM, id }, block);
}

/** How long an ordinary request takes meanwhile: the slowest of some. */
async function slowestGet(): Promise<string> {
  let slowest = 0;
  for (let i = 0; i < 20; i++) {
    const startedMs = performance.now();
    if ((await send({ name: "", method: "GET", path: `${configMaps}/one`, statuses: [200] })) !== 200)
      return "no answer";
    slowest = Math.max(slowest, performance.now() - startedMs);
  }
  return `others answered within ${slowest.toFixed(0)} ms`;
}

async function slowConnections(): Promise<string> {
  const sockets: TLSSocket[] = [];
  for (let i = 0; i < 1000; i++) sockets.push(await dial(i % 2 === 0 ? "http/1.1" : "h2"));
  for (const socket of sockets) socket.write(`POST ${configMaps} HTTP/1.1\r\ncontent-length: 1000\r\n`.slice(0, 30));
  const answer = await slowestGet();
  for (const socket of sockets) socket.destroy();
  return answer;
}

async function rapidResets(): Promise<string> {
  const sockets = await inTurn(Array(20).fill("h2"), () => dial("h2"));
  const reset = (id: number): Buffer => frame({ type: FRAME.rstStream, flags: 0, id }, Buffer.from([0, 0, 0, 8]));
  for (const socket of sockets) {
    socket.resume();
    socket.write(Buffer.concat([PREFACE, frame({ type: FRAME.settings, flags: 0, id: 0 })]));
    for (let id = 1; id < 8000; id += 2) socket.write(Buffer.concat([h2Request(id, configMaps), reset(id)]));
  }
  const answer = await slowestGet();
  for (const socket of sockets) socket.destroy();
  return answer;
}

async function deafWatches(): Promise<string> {
  const sockets = await inTurn(Array(200).fill("h2"), () => dial("h2"));
  for (const socket of sockets) {
    socket.pause();
    socket.write(Buffer.concat([PREFACE, frame({ type: FRAME.settings, flags: 0, id: 0 })]));
    socket.write(h2Request(1, `${configMaps}?watch=1`));
  }
  await sleep(300);
  const body = (index: number): string => JSON.stringify({ data: { a: String(index).padEnd(900_000, "x") } });
  const patch = { method: "PATCH", path: `${configMaps}/two`, type: "application/merge-patch+json", statuses: [200] };
  for (let i = 0; i < 150; i++) await send({ name: "", ...patch, body: body(i) });
  const answer = await slowestGet();
  for (const socket of sockets) socket.destroy();
  return answer;
}

try {
  await send({
    name: "",
    path: "/api/v1/namespaces/default/serviceaccounts",
    body: '{"metadata":{"name":"default"}}',
    statuses: [],
  });
  await send({ name: "", body: '{"metadata":{"name":"one"},"data":{"a":"b"}}', statuses: [] });
  await send({ name: "", body: '{"metadata":{"name":"two"},"data":{"a":"b"}}', statuses: [] });
  const chosen = (all: readonly Attack[]): readonly Attack[] => all.filter(({ name }) => name.includes(only));
  const warm = await measured("an ordinary request", async () => slowestGet());
  if (profile !== undefined) await api.startProfile();
  console.log("The largest that is legal: no stall above 50 ms");
  console.table([warm, ...(await requests(chosen(legal)))]);
  console.log("What is not: no stall above 10 ms");
  console.table(await requests(chosen(attacks)));
  if (only === "" || only === "connections") {
    console.log("Connections");
    console.table([
      await measured("1,000 connections that send half a head", slowConnections),
      await measured("20 connections of 4,000 streams reset at once", rapidResets),
      await measured("200 watches that never read, 135 MB of events each", deafWatches),
    ]);
  }
  if (profile !== undefined) await api.stopProfile(profile);
} finally {
  api.stop();
}
