/**
 * nftables, through the `nft` program: scripts go in as text, as one transaction each.
 */
import { loadPrograms, type Programs, runOn } from "./programs.ts";

/** nft refused a script. The message carries what it said and the lines that it pointed at. */
export class NftError extends Error {
  readonly kind = "NftError";
}

/** Applies a script: all of it or nothing. Whoever does that often hands in what starts the program. Throws {@link NftError}. */
export async function applyNft(script: string, programs?: Programs): Promise<void> {
  const { end, errors } = await runNft(script, programs ?? (await loadPrograms()));
  if (!("code" in end) || end.code !== 0) throw new NftError(`nft refused a change: ${errors.trim()}`);
}

async function runNft(script: string, programs: Programs): ReturnType<typeof runOn> {
  try {
    return await runOn(programs, { path: "nft", args: ["-f", "-"], input: script });
  } catch (cause) {
    throw new NftError(`nft could not be started: ${(cause as Error).message}; install nftables`, { cause });
  }
}

/** Removes a table. One that is not there is success. */
export async function deleteTable(family: "ip" | "ip6" | "inet", name: string): Promise<void> {
  // `add` first makes the deletion of an absent table succeed.
  await applyNft(`add table ${family} ${name}\ndelete table ${family} ${name}\n`);
}
