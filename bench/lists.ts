/**
 * Lists of 10,000 pods out of the API server, in each form and in pages, with what they cost the server: CPU, stalls of its event loop, memory. `node tools/node24.mjs bench/lists.ts [profile-folder]`.
 */
import { type ClientHttp2Session, connect } from "node:http2";
import { pod } from "./api/bodies.ts";
import { ApiProcess } from "./support/api-process.ts";
import { type Access, FrameClient } from "./support/frame-client.ts";

const COUNT = Number(process.env["BENCH_PODS"] ?? 10_000);
const pods = "/api/v1/namespaces/default/pods";
const forms = {
  JSON: "application/json",
  protobuf: "application/vnd.kubernetes.protobuf",
  Table: "application/json;as=Table;v=v1;g=meta.k8s.io",
};
const [, , profileFolder] = process.argv;

async function fill(access: Access): Promise<void> {
  const session = connect(`https://127.0.0.1:${access.port}`, access);
  await post(session, "/api/v1/namespaces/default/serviceaccounts", '{"metadata":{"name":"default"}}');
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < COUNT) await post(session, pods, pod(`p-${String(next++).padStart(5, "0")}`));
  };
  await Promise.all(Array.from({ length: 64 }, worker));
  session.close();
}

function post(session: ClientHttp2Session, path: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/json" });
    stream.on("response", (headers) =>
      headers[":status"] === 201 ? undefined : reject(new Error(`POST ${path}: ${headers[":status"]}`)),
    );
    stream.on("error", reject);
    stream.on("end", resolve);
    stream.resume();
    stream.end(body);
  });
}

async function measure(api: ApiProcess, what: string, times: number, work: () => Promise<number>): Promise<void> {
  await api.usage();
  const took: number[] = [];
  let bytes = 0;
  for (let i = 0; i < times; i++) {
    const startedMs = performance.now();
    bytes = await work();
    took.push(performance.now() - startedMs);
  }
  const usage = await api.usage();
  const sorted = took.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const cpu = usage.cpuMicros / 1000 / times;
  console.log(
    `${what}: median ${median.toFixed(0)} ms, best ${(sorted[0] ?? 0).toFixed(0)}, server CPU ${cpu.toFixed(0)} ms, ${(bytes / 1e6).toFixed(1)} MB; longest stall ${usage.longestStallMs.toFixed(1)} ms, GC ${usage.longestGcMs.toFixed(1)} ms, ${(usage.residentBytes / 1e6).toFixed(0)} MB resident`,
  );
}

const api = await ApiProcess.start();
try {
  await fill(api.access);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const client = await FrameClient.connect(api.access);
  const list = async (accept: string): Promise<number> => (await client.get(pods, { accept })).bytes;
  for (const [name, accept] of Object.entries(forms)) {
    if (profileFolder !== undefined) await api.startProfile();
    await measure(api, `list of ${COUNT} pods, ${name}, first`, 1, () => list(accept));
    if (profileFolder !== undefined) await api.stopProfile(`${profileFolder}/${name}-first.cpuprofile`);
    if (profileFolder !== undefined) await api.startProfile();
    await measure(api, `list of ${COUNT} pods, ${name}, again`, 7, () => list(accept));
    if (profileFolder !== undefined) await api.stopProfile(`${profileFolder}/${name}.cpuprofile`);
  }
  const pageMs: number[] = [];
  if (profileFolder !== undefined) await api.startProfile();
  await measure(api, "pages of 500, all", 7, async () => {
    let next = "";
    let bytes = 0;
    do {
      let head = "";
      const onData = (chunk: Buffer): void => void (head.length < 1000 && (head += chunk.toString("latin1", 0, 1000)));
      const startedMs = performance.now();
      bytes += (await client.get(`${pods}?limit=500${next === "" ? "" : `&continue=${next}`}`, {}, onData)).bytes;
      pageMs.push(performance.now() - startedMs);
      next = /"continue":"([^"]*)"/.exec(head)?.[1] ?? "";
    } while (next !== "");
    return bytes;
  });
  const mean = pageMs.reduce((sum, ms) => sum + ms, 0) / pageMs.length;
  const median = pageMs.toSorted((a, b) => a - b)[Math.floor(pageMs.length / 2)] ?? 0;
  console.log(`pages of 500: ${(1000 / mean).toFixed(0)}/s, by their median ${(1000 / median).toFixed(0)}/s`);
  if (profileFolder !== undefined) await api.stopProfile(`${profileFolder}/pages.cpuprofile`);
  client.close();
} finally {
  api.stop();
}
