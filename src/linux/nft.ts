/**
 * nftables, through the `nft` program: scripts go in as text, as one transaction each.
 */
import { spawn } from "node:child_process";

/** nft refused a script. The message carries what it said and the lines that it pointed at. */
export class NftError extends Error {
  readonly kind = "NftError";
}

/** Applies a script: all of it or nothing. Throws {@link NftError}. */
export function applyNft(script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("nft", ["-f", "-"], { stdio: ["pipe", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      if (errors.length < 10_000) errors += chunk.toString();
    });
    child.on("error", (cause) =>
      reject(new NftError(`nft could not be started: ${cause.message}; install nftables`, { cause })),
    );
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new NftError(`nft refused a change: ${errors.trim()}`)),
    );
    child.stdin.on("error", () => {}); // nft ended early; its exit code tells
    child.stdin.end(script);
  });
}

/** Removes a table. One that is not there is success. */
export async function deleteTable(family: "ip" | "ip6" | "inet", name: string): Promise<void> {
  // `add` first makes the deletion of an absent table succeed.
  await applyNft(`add table ${family} ${name}\ndelete table ${family} ${name}\n`);
}
