/**
 * Hears that the control plane signs service account tokens with another key, because it lost the former one: what pods hold is refused from then on.
 */
import { createPublicKey } from "node:crypto";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "#component-base/logger.ts";

const file = "sa.key";

/** Where the key is, and who wants to know. */
export type SigningKeyWatch = {
  /** The cluster's keys. */
  readonly folder: string;
  readonly onReplaced: () => void;
  readonly logger: Logger;
};

/** Watches until the signal aborts. Resolves when it does. The same key, written again, is nothing new. */
export async function watchSigningKey(
  { folder, onReplaced, logger }: SigningKeyWatch,
  signal: AbortSignal,
): Promise<void> {
  const watcher = watch(folder, { persistent: false, signal }, (_event, name) => {
    if (name === file) void look(); // never rejects
  });
  watcher.on("error", (error) => logger.error("Watched no signing key", { folder, error }));
  let known = await publicKeyOf(folder);
  const look = async () => {
    const key = await publicKeyOf(folder);
    if (key === undefined || key === known) return;
    const isReplaced = known !== undefined;
    known = key;
    if (isReplaced) onReplaced();
  };
}

/** undefined while it is not there, or not whole. */
async function publicKeyOf(folder: string): Promise<string | undefined> {
  try {
    const key = createPublicKey(await readFile(join(folder, file), "utf8"));
    return key.export({ type: "spki", format: "pem" }) as string;
  } catch {
    return undefined;
  }
}
