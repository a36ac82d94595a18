/**
 * Asks a server for its health by the gRPC health checking protocol (grpc.health.v1.Health/Check) over cleartext HTTP/2. The two messages are so small that they are
 * written and read by hand. As pkg/probe/grpc.
 */
import { connect, constants } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { describe } from "./http-get.ts";
import type { ProbeOutcome } from "./probe-target.ts";

const servingStatuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const unimplemented = 12;

/** One call. Never rejects. */
export async function checkGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const limit = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal]);
  let session: ClientHttp2Session | undefined;
  try {
    session = await open(`http://${address}`, limit);
    return await check(session, service, limit, timeoutMs);
  } catch (error) {
    const within = `${timeoutMs / 1000}s`;
    if (!limit.aborted) return failure(`error: failed to connect service at "${address}": ${describe(error)}`);
    if (session) return failure(`timeout: health rpc did not complete within ${within}`);
    return failure(`timeout: failed to connect service "${address}" within ${within}: context deadline exceeded`);
  } finally {
    session?.destroy();
  }
}

function open(url: string, signal: AbortSignal): Promise<ClientHttp2Session> {
  const { promise, resolve, reject } = Promise.withResolvers<ClientHttp2Session>();
  const session = connect(url);
  session.on("error", reject);
  session.once("connect", () => resolve(session));
  signal.addEventListener("abort", () => {
    reject(signal.reason);
    session.destroy();
  });
  return promise;
}

async function check(
  session: ClientHttp2Session,
  service: string,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeOutcome>();
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/grpc.health.v1.Health/Check",
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    [constants.HTTP2_HEADER_USER_AGENT]: "kube-probe/1.36",
    te: "trailers",
    "grpc-timeout": `${timeoutMs}m`,
  });
  const chunks: Buffer[] = [];
  let headers: Readonly<Record<string, unknown>> = {};
  stream.on("response", (received) => (headers = { ...headers, ...received }));
  stream.on("trailers", (received) => (headers = { ...headers, ...received }));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => resolve(outcome(headers, Buffer.concat(chunks))));
  stream.on("error", reject);
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  stream.end(request(service));
  return promise;
}

function outcome(headers: Readonly<Record<string, unknown>>, body: Buffer): ProbeOutcome {
  const code = Number(headers["grpc-status"] ?? (headers[":status"] === 200 ? 0 : unimplemented));
  const message = decodeURIComponent(String(headers["grpc-message"] ?? ""));
  if (code === unimplemented) {
    return failure(
      `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`,
    );
  }
  if (code !== 0) return failure(`error: health rpc probe failed: rpc error: code = ${code} desc = ${message}`);
  const status = servingStatuses[servingStatus(body)] ?? "UNKNOWN";
  if (status === "SERVING") return { result: "success", output: "service healthy" };
  return failure(`service unhealthy (responded with "${status}")`);
}

/** HealthCheckRequest { string service = 1 } in gRPC's frame: a flag byte, four bytes of length. */
function request(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** HealthCheckResponse { ServingStatus status = 1 }; absent means 0. */
function servingStatus(body: Buffer): number {
  return body.length >= 7 && body[5] === 0x08 ? (body[6] as number) : 0;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function failure(output: string): ProbeOutcome {
  return { result: "failure", output };
}
