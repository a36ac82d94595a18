/**
 * What a process did to one file, from a trace by strace: so that tests can ask what the file would hold if the power had failed at some moment.
 * Made with `strace -f -xx -s 200000 -e trace=openat,lseek,write,writev,pwrite64,fdatasync`.
 */

/** One thing that happened, in order. `isThrough`: the call returned only when the disk had it. */
export type DiskEvent =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Buffer; readonly isThrough: boolean }
  | { readonly kind: "sync" }
  | { readonly kind: "output"; readonly text: string };

/** Reads a trace: the writes to files named `fileName`, their syncs, and what went to standard output. */
export function readDiskTrace(trace: string, fileName: string): readonly DiskEvent[] {
  const events: DiskEvent[] = [];
  const files = new Map<number, { position: number; readonly isThrough: boolean }>();
  for (const call of joinInterrupted(trace)) {
    const [, name, args, result] = /^(\w+)\((.*)\) += (-?\d+)/.exec(call) ?? [];
    if (name === undefined || args === undefined || Number(result) < 0) continue;
    if (name === "openat") {
      const [path] = stringsIn(args);
      if (path?.toString().endsWith(`/${fileName}`))
        files.set(Number(result), { position: 0, isThrough: args.includes("O_DSYNC") });
      else files.delete(Number(result));
      continue;
    }
    const descriptor = Number.parseInt(args, 10);
    const bytes = Buffer.concat(stringsIn(args)).subarray(0, Number(result));
    if (name === "write" && descriptor === 1) events.push({ kind: "output", text: bytes.toString() });
    const file = files.get(descriptor);
    if (!file) continue;
    if (name === "lseek") file.position = Number(result);
    else if (name === "fdatasync") events.push({ kind: "sync" });
    else {
      const position = name === "pwrite64" ? Number(/(\d+)\s*$/.exec(args)![1]) : file.position;
      if (bytes.length !== Number(result)) throw new Error(`the trace cut a write of ${result} bytes off`);
      events.push({ kind: "write", position, bytes, isThrough: file.isThrough });
      if (name !== "pwrite64") file.position += bytes.length;
    }
  }
  return events;
}

/**
 * What the file may hold when the power fails just before event `moment`: all that was synced, and of the rest what `survives` says, sector by sector.
 */
export function fileAfterPowerCut(events: readonly DiskEvent[], moment: number, survives: () => boolean): Buffer {
  const past = events.slice(0, moment);
  const lastSync = past.findLastIndex(({ kind }) => kind === "sync");
  let file = Buffer.alloc(0);
  past.forEach((event, i) => {
    if (event.kind !== "write") return;
    const isDurable = event.isThrough || i < lastSync;
    for (let at = 0; at < event.bytes.length; at += SECTOR) {
      if (!isDurable && !survives()) continue;
      const sector = event.bytes.subarray(at, at + SECTOR);
      const end = event.position + at + sector.length;
      if (file.length < end) file = Buffer.concat([file, Buffer.alloc(end - file.length)]);
      sector.copy(file, event.position + at);
    }
  });
  return file;
}

const SECTOR = 512;

/** The calls of all threads in the order in which they ended; strace cuts in two what another thread interrupted. */
function* joinInterrupted(trace: string): Generator<string> {
  const begun = new Map<string, string>();
  for (const line of trace.split("\n")) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (thread === undefined || rest === undefined) continue;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
    if (rest.endsWith("<unfinished ...>")) begun.set(thread, rest.slice(0, -"<unfinished ...>".length));
    else if (resumed) yield (begun.get(thread) ?? "") + resumed[1];
    else yield rest;
  }
}

/** The strings among a call's arguments, which strace shows as "\x2f\x74…". */
function stringsIn(args: string): readonly Buffer[] {
  return [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((match) =>
    Buffer.from(match[1]!.replaceAll("\\x", ""), "hex"),
  );
}
