/**
 * Folders for tests that go away again.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a folder, hands it to `body`, and removes it, whatever happens. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-store-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
