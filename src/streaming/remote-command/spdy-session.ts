/**
 * exec and attach over SPDY: the client opens a stream for each of error, stdin, stdout, stderr and resize, named by the header streamType.
 */
import { SpdyConnection, type SpdyStream } from "#streaming/spdy/spdy-connection.ts";
import { acceptSpdy, type UpgradeRequest } from "#streaming/upgrade.ts";
import {
  type CommandStreams,
  formatEnd,
  parseSize,
  type RunCommand,
  runToEnd,
  type TerminalSize,
  type WantedStreams,
} from "./session.ts";

const protocols = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/** How long a client may take to open its streams. As kubelet's stream creation timeout. */
const creationTimeoutMs = 30_000;

/** Serves one connection to its end; never rejects. */
export async function serveSpdyCommand(upgrade: UpgradeRequest, wanted: WantedStreams, run: RunCommand): Promise<void> {
  const protocol = acceptSpdy(upgrade, protocols);
  if (protocol === undefined) return;
  const version = Number(/^v(\d)/.exec(protocol)?.[1] ?? 1);
  const types = typesOf(wanted, version);
  const streams = new Map<string, SpdyStream>();
  const abort = new AbortController();
  const all = Promise.withResolvers<boolean>();
  const connection = new SpdyConnection(upgrade.socket, (stream) => {
    streams.set(stream.headers.get("streamtype") ?? "", stream);
    if (types.every((type) => streams.has(type))) all.resolve(true);
  });
  const timer = setTimeout(() => all.resolve(false), creationTimeoutMs);
  const ended = connection.run().then(() => {
    all.resolve(false);
    abort.abort(new Error("the client has gone"));
  });
  const isComplete = await all.promise;
  clearTimeout(timer);
  if (isComplete) await runWith({ streams, wanted, version, run, signal: abort.signal });
  connection.close();
  await ended;
}

function typesOf(wanted: WantedStreams, version: number): readonly string[] {
  const asked = (["stdin", "stdout", "stderr"] as const).filter((type) => wanted[type]);
  return ["error", ...asked, ...(wanted.tty && version >= 3 ? ["resize"] : [])];
}

type Session = {
  readonly streams: ReadonlyMap<string, SpdyStream>;
  readonly wanted: WantedStreams;
  readonly version: number;
  readonly run: RunCommand;
  readonly signal: AbortSignal;
};

async function runWith({ streams, wanted, version, run, signal }: Session): Promise<void> {
  const [stdin, stdout, stderr, resize] = ["stdin", "stdout", "stderr", "resize"].map((type) => streams.get(type));
  const command: CommandStreams = {
    tty: wanted.tty,
    ...(stdin ? { stdin } : {}),
    ...(stdout ? { stdout: (chunk) => stdout.write(chunk) } : {}),
    ...(stderr ? { stderr: (chunk) => stderr.write(chunk) } : {}),
    ...(resize ? { resize: sizesOf(resize) } : {}),
  };
  const end = await runToEnd(run, command, signal);
  await Promise.all([stdout?.end(), stderr?.end()]);
  const text = formatEnd(end, version);
  if (text !== "")
    await streams
      .get("error")
      ?.write(Buffer.from(text))
      .catch(() => {}); // the client has gone
  await Promise.all([...streams.values()].map((stream) => stream.end()));
}

/** Sizes arrive as JSON documents, one after another. */
async function* sizesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TerminalSize> {
  let rest = "";
  for await (const chunk of stream) {
    rest += Buffer.from(chunk).toString();
    for (let end = rest.indexOf("}"); end >= 0; end = rest.indexOf("}")) {
      const size = parseSize(rest.slice(0, end + 1));
      rest = rest.slice(end + 1);
      if (size) yield size;
    }
  }
}
