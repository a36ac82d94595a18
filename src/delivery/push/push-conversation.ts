/**
 * What is said with the hook of a push, at its end of descriptor 3.
 */
import type { Duplex } from "node:stream";
import { createInterface } from "node:readline";
import type { GitView } from "#delivery/git/git.ts";

/** One branch or tag that a push changes. Zeros stand for nothing. */
export type RefChange = { readonly before: string; readonly after: string; readonly ref: string };

/** What a push wants. Its objects are apart until it is taken; `view` lets Git see them. */
export type PushRequest = { readonly changes: readonly RefChange[]; readonly view: GitView };

const mostChanges = 1000;
/** Longer lines would only be in the way of those who read them. */
const longestLine = 1000;

/** Hears what is pushed. Undefined when the push ended before it came to that. */
export async function hearPush(channel: Duplex): Promise<PushRequest | undefined> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: channel })) {
    if (line === "end" && lines.length >= 2) return requestOf(lines);
    lines.push(line);
    if (lines.length > mostChanges + 2) break;
  }
  return undefined;
}

function requestOf([objects = "", alternates = "", ...changes]: readonly string[]): PushRequest {
  return {
    view: { GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: alternates },
    changes: changes.map((line) => {
      const [before = "", after = "", ...ref] = line.split(" ");
      return { before, after, ref: ref.join(" ") };
    }),
  };
}

/** Says lines to whoever pushes, and at last whether the push counts. */
export class PushVoice {
  readonly #channel: Duplex;

  constructor(channel: Duplex) {
    this.#channel = channel;
    channel.on("error", () => {}); // the push ended: its end says so
  }

  say(text: string): void {
    // What a build prints could move the cursor of a terminal.
    for (const line of text.split("\n")) {
      const plain = line.replaceAll(/\p{Cc}/gu, (one) => (one === "\t" ? one : "")).slice(0, longestLine);
      if (!this.#channel.destroyed) this.#channel.write(`|${plain}\n`);
    }
  }

  end(isTaken: boolean): void {
    if (!this.#channel.destroyed) this.#channel.write(isTaken ? "ok\n" : "no\n");
  }
}
