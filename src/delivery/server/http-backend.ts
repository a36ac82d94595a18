/**
 * A request as `git http-backend` takes it (RFC 3875), and its answer as HTTP. Bodies go through as they come, in both directions, no faster than the other end takes them.
 */
import type { ChildProcess } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { endOf, type Git } from "#delivery/git/git.ts";
import { repositoryFolder } from "#delivery/git/git-settings.ts";
import { HttpFault } from "./http-fault.ts";
import type { GitTarget } from "./git-request.ts";

export type BackendOptions = {
  readonly git: Git;
  readonly target: Extract<GitTarget, { kind: "git" }>;
  readonly userName: string;
  /** Of a push, as Git bounds it. */
  readonly mostBytes: number;
  /** Given the hook's end when a push comes. */
  readonly onChannel: (channel: Duplex) => void;
  readonly signal: AbortSignal;
};

const mostHeaderBytes = 16 << 10;
/** Read on after a push was refused, so that its sender hears why, and thrown away. */
const mostDrained = 8 * 2 ** 30;

/** Resolves when Git has ended and all is answered but for the answer's end, which is the caller's. Throws {@link HttpFault} as long as nothing is answered. */
export async function serveGit(
  request: IncomingMessage,
  response: ServerResponse,
  options: BackendOptions,
): Promise<void> {
  const { git, target, mostBytes, onChannel, signal } = options;
  const child = git.spawn(["git", "http-backend"], {
    environment: cgiEnvironment(request, options),
    settings: { "receive.maxInputSize": String(mostBytes) },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  const kill = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  response.once("close", () => {
    if (!response.writableFinished) kill();
  });
  const channel = child.stdio[3] as Duplex;
  channel.on("error", () => {}); // its end says it
  if (target.path === "git-receive-pack") onChannel(channel);
  else channel.destroy();
  const said: string[] = [];
  child.stderr?.on("data", (chunk: Buffer) => said.push(String(chunk).slice(0, 2000)));
  try {
    const ended = endOf(child);
    ended.catch(() => {}); // awaited below
    void send(request, child);
    const started = await answer(child.stdout as Readable, response);
    await ended;
    if (!started) throw new HttpFault(500, said.join("").trim().split("\n").at(-1) || "git did not answer");
  } finally {
    signal.removeEventListener("abort", kill);
    channel.destroy();
    kill();
  }
}

function cgiEnvironment(
  { headers, method = "", socket }: IncomingMessage,
  { git, target, userName }: BackendOptions,
): Readonly<Record<string, string>> {
  const text = (value: string | string[] | undefined) => String(value ?? "");
  const protocol = text(headers["git-protocol"]);
  return {
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_PROTOCOL: "HTTP/1.1",
    REQUEST_METHOD: method,
    GIT_PROJECT_ROOT: git.inside,
    PATH_INFO: `/${repositoryFolder}/${target.path}`,
    GIT_HTTP_EXPORT_ALL: "1",
    QUERY_STRING: target.path === "info/refs" ? `service=${target.service}` : "",
    REMOTE_USER: userName,
    REMOTE_ADDR: socket.remoteAddress ?? "",
    CONTENT_TYPE: text(headers["content-type"]).slice(0, 200),
    ...(headers["content-length"] === undefined ? {} : { CONTENT_LENGTH: text(headers["content-length"]) }),
    ...(headers["content-encoding"] === undefined
      ? {}
      : { HTTP_CONTENT_ENCODING: text(headers["content-encoding"]).slice(0, 20) }),
    ...(/^[a-z0-9=:.-]{1,100}$/.test(protocol) ? { GIT_PROTOCOL: protocol } : {}),
  };
}

/** Gives the body to Git; what Git no longer takes is thrown away. */
async function send(request: IncomingMessage, child: ChildProcess): Promise<void> {
  const input = child.stdin as Writable;
  try {
    await pipeline(request.iterator({ destroyOnReturn: false }), input);
  } catch {
    input.destroy();
    await drain(request);
  }
}

/** Reads on and forgets it, so that the sender hears the answer instead of a broken connection. */
export async function drain(request: IncomingMessage, most: number = mostDrained): Promise<void> {
  let left = most;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }))
      if ((left -= (chunk as Buffer).length) < 0) return void request.socket.destroy();
  } catch {
    // the client left
  }
}

/** False when nothing came that is an answer. */
async function answer(output: Readable, response: ServerResponse): Promise<boolean> {
  let head = Buffer.alloc(0);
  let hasBegun = false;
  for await (const chunk of output) {
    if (!hasBegun) {
      head = Buffer.concat([head, chunk as Buffer]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length > mostHeaderBytes) return false;
      if (end < 0) continue;
      begin(head.subarray(0, end).toString("latin1"), response);
      hasBegun = true;
      await write(response, head.subarray(end + 4));
    } else await write(response, chunk as Buffer);
  }
  return hasBegun;
}

function begin(head: string, response: ServerResponse): void {
  let status = 200;
  for (const line of head.split("\r\n")) {
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    if (name === "status") status = Number.parseInt(value, 10) || 500;
    else if (/^[a-z-]+$/.test(name)) response.setHeader(name, value);
  }
  response.writeHead(status);
}

async function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || response.destroyed || response.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
