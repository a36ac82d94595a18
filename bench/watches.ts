/**
 * Events to many watches: 200 writes a second, each told to 1,000 watches, on 1,000 connections and on 10 connections of 100. Client, writer and server are processes of their own.
 * `node tools/node24.mjs bench/watches.ts [watches] [events per second] [seconds] [profile-folder]`.
 */
import { connect } from "node:http2";
import { ApiProcess } from "./support/api-process.ts";
import { type Layout, WatchClients } from "./support/watch-clients.ts";

const given = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const [watches = 1000, perSecond = 200, seconds = 10] = given.slice(0, 3).map(Number);
const profileFolder = given[3];
const only = process.env["BENCH_LAYOUT"];
const path = "/api/v1/namespaces/default/configmaps";
const MAX_WAITING = 128;
const WARM_UP_MS = 2000;

/** Writes at a steady rate, each object again and again. */
async function write(api: ApiProcess, forMs: number, isWarm: () => Promise<void>): Promise<number> {
  const session = connect(`https://127.0.0.1:${api.access.port}`, api.access);
  let sent = 0;
  const put = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const data = { sent: String(Date.now()), text: "x".repeat(200) };
      const name = `w-${index % 100}`;
      const body = JSON.stringify({ metadata: { name }, data });
      const stream = session.request({
        ":method": index < 100 ? "POST" : "PUT",
        ":path": index < 100 ? path : `${path}/${name}`,
        "content-type": "application/json",
      });
      stream.on("response", (headers) =>
        Number(headers[":status"]) < 300 ? undefined : console.log("write", headers[":status"]),
      );
      stream.on("error", reject);
      stream.on("end", resolve);
      stream.resume();
      stream.end(body);
    });
  for (let i = 0; i < 100; i++) await put(i);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const begunMs = performance.now();
  let waiting = 0;
  let counted = 0;
  while (performance.now() - begunMs < WARM_UP_MS + forMs) {
    if (counted === 0 && performance.now() - begunMs > WARM_UP_MS) {
      counted = sent;
      await isWarm();
    }
    const due = Math.floor(((performance.now() - begunMs) / 1000) * perSecond);
    while (sent < due && waiting < MAX_WAITING) {
      waiting++;
      void put(100 + sent++).finally(() => waiting--);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  while (waiting > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  session.close();
  return sent - counted;
}

async function run(layout: Layout): Promise<void> {
  const api = await ApiProcess.start();
  const what = `${layout.connections} connections × ${layout.watchesEach} watches`;
  try {
    const clients = await WatchClients.start(api.access, layout, `${path}?watch=1&resourceVersion=0`);
    const sent = await write(api, seconds * 1000, async () => {
      await Promise.all([api.usage(), clients.arrived()]);
      if (profileFolder !== undefined) await api.startProfile();
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const usage = await api.usage();
    const arrived = await clients.arrived();
    if (profileFolder !== undefined) await api.stopProfile(`${profileFolder}/watch-${layout.connections}.cpuprofile`);
    const expected = sent * layout.connections * layout.watchesEach;
    const cores = usage.cpuMicros / 1e6 / seconds;
    console.log(
      `${what}: ${sent} writes, ${arrived.events} of ${expected} events, delay p50 ${arrived.p50} ms, p99 ${arrived.p99} ms, max ${arrived.max} ms; server ${cores.toFixed(2)} cores, ${(usage.cpuMicros / arrived.events || 0).toFixed(2)} µs an event, clients ${(arrived.cpuMicros / 1e6 / seconds).toFixed(2)} cores; longest stall ${usage.longestStallMs.toFixed(1)} ms, GC ${usage.longestGcMs.toFixed(1)} ms, ${(usage.residentBytes / 1e6).toFixed(0)} MB resident; ${arrived.ended} watches ended`,
    );
    clients.stop();
  } finally {
    api.stop();
  }
}

if (only !== "few") await run({ connections: watches, watchesEach: 1 });
if (only !== "many") await run({ connections: Math.ceil(watches / 100), watchesEach: 100 });
