/**
 * `nodeless exec`: runs a command in a container over a WebSocket (v5.channel.k8s.io) and joins it with this process's streams.
 */
import { WebSocket } from "ws";
import { StatusError, type Status } from "#apimachinery/status-error.ts";
import type { ExecRequest } from "#cli/machine.ts";
import type { Cluster } from "./clusters.ts";
import { administratorAccess } from "./connect.ts";

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const pingMs = 5000;

/** Gives the command's exit code. Throws StatusError when it could not be run. */
export async function execInPod(cluster: Cluster, request: ExecRequest): Promise<number> {
  const { server, ca, certificate, key } = administratorAccess(cluster);
  const url = new URL(
    `/api/v1/namespaces/${request.namespace}/pods/${request.pod}/exec`,
    server.replace("https:", "wss:"),
  );
  for (const word of request.command) url.searchParams.append("command", word);
  if (request.container !== undefined) url.searchParams.set("container", request.container);
  url.searchParams.set("stdout", "true");
  if (request.stdin) url.searchParams.set("stdin", "true");
  url.searchParams.set(request.tty ? "tty" : "stderr", "true");
  const socket = new WebSocket(url, "v5.channel.k8s.io", { ca, cert: certificate, key });
  return await joinStreams(socket, request);
}

function joinStreams(socket: WebSocket, { stdin, tty }: ExecRequest): Promise<number> {
  const send = (channel: number, data: Uint8Array | string) =>
    socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]));
  const isRaw = tty && stdin && process.stdin.isTTY;
  return new Promise<number>((resolve, reject) => {
    let outcome: Status | undefined;
    let pings: NodeJS.Timeout | undefined;
    const sendSize = () =>
      send(channels.resize, JSON.stringify({ Width: process.stdout.columns, Height: process.stdout.rows }));
    socket.on("open", () => {
      pings = setInterval(() => socket.ping(), pingMs);
      if (isRaw) process.stdin.setRawMode(true);
      if (tty && process.stdout.isTTY) {
        sendSize();
        process.stdout.on("resize", sendSize);
      }
      if (!stdin) return;
      process.stdin.on("data", (chunk: Buffer) => send(channels.stdin, chunk));
      process.stdin.on("end", () => send(channels.close, Buffer.from([channels.stdin])));
    });
    socket.on("message", (data: Buffer) => {
      const payload = data.subarray(1);
      if (data[0] === channels.stdout) process.stdout.write(payload);
      else if (data[0] === channels.stderr) process.stderr.write(payload);
      else if (data[0] === channels.error) outcome = JSON.parse(payload.toString()) as Status;
    });
    socket.on("unexpected-response", (request, response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      // ws leaves it to us to end a request that was refused.
      response.on("close", () => {
        reject(failureOf(Buffer.concat(chunks).toString()));
        request.destroy();
      });
    });
    socket.on("error", ({ message }) => reject(failureOf(`the cluster does not answer: ${message}`)));
    socket.on("close", () => {
      clearInterval(pings);
      process.stdout.off("resize", sendSize);
      if (isRaw) process.stdin.setRawMode(false);
      process.stdin.destroy();
      if (outcome === undefined) reject(failureOf("the connection to the container was lost"));
      else if (outcome.status === "Success") resolve(0);
      else if (outcome.details?.causes?.[0]?.reason === "ExitCode") resolve(Number(outcome.details.causes[0].message));
      else reject(StatusError.fromStatus(outcome));
    });
  });
}

function failureOf(text: string): StatusError {
  try {
    return StatusError.fromStatus(JSON.parse(text) as Partial<Status>);
  } catch {
    return StatusError.fromStatus({ message: text.trim(), code: 500, reason: "InternalError" });
  }
}
