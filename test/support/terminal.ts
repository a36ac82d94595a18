/**
 * A program in a terminal, for tests of what people type and see.
 */
import { spawn } from "@lydell/node-pty";

/** A running program. */
export type Terminal = {
  /** Sends keys. */
  readonly type: (keys: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Resolves with all that was shown, as soon as it matches. Throws after `timeoutMs`, showing what was there. */
  readonly shows: (pattern: RegExp, timeoutMs?: number) => Promise<string>;
  /** The exit code. */
  readonly ended: Promise<number>;
  readonly kill: () => void;
};

/** Starts a program in a terminal of 100 columns and 24 rows. */
export function openTerminal(program: string, args: readonly string[], environment: NodeJS.ProcessEnv): Terminal {
  const pty = spawn(program, [...args], { cols: 100, rows: 24, name: "xterm", env: environment });
  let shown = "";
  const changed = new Set<() => void>();
  pty.onData((text) => {
    shown += text;
    for (const notify of changed) notify();
  });
  const ended = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)));
  return {
    type: (keys) => pty.write(keys),
    resize: (columns, rows) => pty.resize(columns, rows),
    kill: () => pty.kill("SIGKILL"),
    ended,
    shows: (pattern, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const finish = (done: () => void) => {
          clearTimeout(timer);
          changed.delete(look);
          done();
        };
        const look = () => {
          if (pattern.test(shown)) finish(() => resolve(shown));
        };
        const timer = setTimeout(
          () => finish(() => reject(new Error(`${pattern} was not shown in:\n${shown}`))),
          timeoutMs,
        );
        changed.add(look);
        look();
      }),
  };
}
