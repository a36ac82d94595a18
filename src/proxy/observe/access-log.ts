/**
 * The access log: a JSON line a request, gathered and written in pieces, so that a line costs about a microsecond and not a system call.
 */
import { writeSync } from "node:fs";
import type { Clock } from "#component-base/clock.ts";
import type { ResponseFlag } from "./response-flags.ts";

/** One request, when it is over. Names as in Envoy's JSON log where it has them. */
export type AccessEntry = {
  /** ISO 8601. */
  readonly start_time: string;
  readonly listener: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly protocol: string;
  /** 0: the client was gone before there was one. */
  readonly response_code: number;
  readonly response_flags: ResponseFlag;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  /** Milliseconds. */
  readonly duration: number;
  /** Milliseconds to the response's head; null without one. */
  readonly response_start: number | null;
  readonly route_name: string | null;
  readonly upstream_cluster: string | null;
  readonly upstream_host: string | null;
  readonly tries: number;
  readonly downstream_remote_address: string;
  readonly requested_server_name: string | null;
  readonly request_id: string;
  readonly trace_id: string | null;
  readonly user_agent: string | null;
  readonly x_forwarded_for: string | null;
};

/** Who wants to know of each request. */
export interface AccessLog {
  /** A request is over. Must not take long, and must not throw. */
  record(entry: AccessEntry): void;
}

const PIECE_BYTES = 64 * 1024;
const LONGEST_WAIT_MS = 1_000;

/** Writes JSON lines to a file descriptor that somebody else opened. */
export class JsonAccessLog implements AccessLog {
  readonly #fileDescriptor: number;
  readonly #clock: Clock;
  #text = "";
  #isWaiting = false;

  constructor(fileDescriptor: number, clock: Clock) {
    this.#fileDescriptor = fileDescriptor;
    this.#clock = clock;
  }

  record(entry: AccessEntry): void {
    this.#text += `${JSON.stringify(entry)}\n`;
    if (this.#text.length >= PIECE_BYTES) this.flush();
    else if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#clock.setTimer(LONGEST_WAIT_MS, () => this.flush());
    }
  }

  /** Writes what is gathered. A full disk or a slow reader loses lines, never requests. */
  flush(): void {
    const text = this.#text;
    this.#text = "";
    this.#isWaiting = false;
    try {
      if (text !== "") writeSync(this.#fileDescriptor, text);
    } catch {
      // Lines that cannot be written are lost.
    }
  }
}
