/**
 * Lines of container logs in CRI format: `2026-01-01T00:00:00.000000000Z stdout F text`. P marks a part of a line that was too long, F its end.
 */
import type { LogOptions } from "#kubelet/provider.ts";

const newline = 10;
const space = 32;

/** Turns raw log bytes into what the reader asked for. Keeps what is left of a line until its end comes. */
export class LogFormatter {
  readonly #options: LogOptions;
  #rest: Buffer = Buffer.alloc(0);
  #leftBytes: number;
  #isAtLineStart = true;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#leftBytes = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** True when limitBytes is reached: nothing more will come. */
  get isFull(): boolean {
    return this.#leftBytes <= 0;
  }

  /** The text for these bytes of the file; may be empty. */
  push(chunk: Buffer): Buffer {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    let start = 0;
    for (let end = data.indexOf(newline, start); end >= 0 && !this.isFull; end = data.indexOf(newline, start)) {
      this.#line(data.subarray(start, end), out);
      start = end + 1;
    }
    this.#rest = Buffer.from(data.subarray(start));
    return Buffer.concat(out);
  }

  #line(line: Buffer, out: Buffer[]): void {
    const afterTime = line.indexOf(space);
    const afterStream = line.indexOf(space, afterTime + 1);
    const afterTag = line.indexOf(space, afterStream + 1);
    if (afterTime < 0 || afterStream < 0) return; // a torn line, from a crash while it was written
    const stamp = line.toString("latin1", 0, afterTime);
    const stream = line.toString("latin1", afterTime + 1, afterStream);
    const tag = line.toString("latin1", afterStream + 1, afterTag < 0 ? line.length : afterTag);
    if (!this.#isWanted(stamp, stream)) return;
    const isPart = tag.split(":").includes("P");
    if (this.#options.timestamps && this.#isAtLineStart) this.#emit(Buffer.from(`${utc(stamp)} `, "latin1"), out);
    this.#emit(afterTag < 0 ? Buffer.alloc(0) : line.subarray(afterTag + 1), out);
    if (!isPart) this.#emit(Buffer.from("\n"), out);
    this.#isAtLineStart = !isPart;
  }

  #isWanted(stamp: string, stream: string): boolean {
    const { sinceTimeMs, stream: wanted = "All" } = this.#options;
    if (wanted !== "All" && wanted.toLowerCase() !== stream) return false;
    return sinceTimeMs === undefined || Date.parse(stamp) >= sinceTimeMs;
  }

  #emit(bytes: Buffer, out: Buffer[]): void {
    const part = bytes.length <= this.#leftBytes ? bytes : bytes.subarray(0, this.#leftBytes);
    this.#leftBytes -= part.length;
    if (part.length > 0) out.push(part);
  }
}

// conmon writes the offset as +00:00; users of upstream see Z.
function utc(stamp: string): string {
  return stamp.endsWith("+00:00") ? `${stamp.slice(0, -6)}Z` : stamp;
}
