/**
 * Where a command writes: staged progress with ticks on a terminal, plain lines elsewhere.
 */

/** The user's terminal, or what stands in for it. */
export interface Terminal {
  /** Whether somebody looks at standard output, and no program reads it. */
  readonly isInteractive: boolean;
  /** A line on standard output. */
  print(line: string): void;
  /** A line on standard error. */
  warn(line: string): void;
  /** Bytes on standard output, as they are. Resolves when they are taken. */
  write(chunk: Uint8Array): Promise<void>;
  /** Asks a question that is answered with yes or no. Undefined where nobody can answer: standard input or output is no terminal. */
  confirm(question: string): Promise<boolean | undefined>;
  /** Begins a stage; on a terminal its line stays open until it is done. */
  stage(title: string): Stage;
}

/** A step that is under way. */
export type Stage = {
  /** Ends it well, with a word on the outcome. */
  readonly done: (detail?: string) => void;
  /** Ends it badly. */
  readonly failed: (detail?: string) => void;
};

const slowMs = 1500;

/** The terminal of this process. */
export function processTerminal(process: NodeJS.Process): Terminal {
  const isTerminal = process.stdout.isTTY === true;
  const mark = (sign: string, colour: number) => (isTerminal ? `\u001b[${colour}m${sign}\u001b[0m` : sign);
  return {
    isInteractive: isTerminal,
    print: (line) => void process.stdout.write(`${line}\n`),
    warn: (line) => void process.stderr.write(`${line}\n`),
    write: (chunk) =>
      new Promise((resolve, reject) => process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))),
    async confirm(question) {
      if (!isTerminal || process.stdin.isTTY !== true) return undefined;
      const { createInterface } = await import("node:readline/promises");
      const asking = createInterface({ input: process.stdin, output: process.stdout });
      try {
        // Ctrl-C and Ctrl-D end the question without an answer.
        const closed = new Promise<string>((resolve) => asking.once("close", () => resolve("")));
        return /^y(es)?$/i.test((await Promise.race([asking.question(`${question} [y/N] `), closed])).trim());
      } finally {
        asking.close();
      }
    },
    stage(title) {
      if (isTerminal) process.stdout.write(` … ${title}`);
      // Elsewhere a line a stage is enough, unless somebody might think that nothing happens.
      const announce = isTerminal ? undefined : setTimeout(() => process.stdout.write(` … ${title}\n`), slowMs).unref();
      const end = (sign: string, detail: string | undefined) => {
        clearTimeout(announce);
        process.stdout.write(
          `${isTerminal ? "\r\u001b[K" : ""} ${sign} ${title}${detail === undefined ? "" : `: ${detail}`}\n`,
        );
      };
      return { done: (detail) => end(mark("✓", 32), detail), failed: (detail) => end(mark("✗", 31), detail) };
    },
  };
}
