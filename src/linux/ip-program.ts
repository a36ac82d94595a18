/**
 * The `ip` program in batch mode: for the few links, addresses and routes that are set once at a start, where a spawned process does not matter.
 */
import { spawn } from "node:child_process";

/** `ip` refused a line. */
export class IpError extends Error {
  readonly kind = "IpError";
}

/** Runs lines such as "address replace 10.0.0.1/32 dev lo", in order; stops at the first that fails unless `force`. Throws {@link IpError}. */
export function runIp(lines: readonly string[], options: { readonly force?: boolean } = {}): Promise<void> {
  if (lines.length === 0) return Promise.resolve();
  const force = options.force === true;
  return new Promise((resolve, reject) => {
    const child = spawn("ip", [...(force ? ["-force"] : []), "-batch", "-"], { stdio: ["pipe", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.on("error", (cause) =>
      reject(new IpError(`ip could not be started: ${cause.message}; install iproute2`, { cause })),
    );
    child.on("close", (code) =>
      code === 0 || force ? resolve() : reject(new IpError(`ip refused: ${errors.trim()}`)),
    );
    child.stdin.on("error", () => {}); // ip ended early; its exit code tells
    child.stdin.end(`${lines.join("\n")}\n`);
  });
}
