/**
 * A container's last words: what it wrote to its termination message file, or the end of its log. Bounds as pkg/kubelet/container: 4 KiB from the file, 2 KiB or 80
 * lines from the log.
 */
import { open } from "node:fs/promises";
import type { Container } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";

const maxMessageBytes = 4096;
const maxLogBytes = 2048;
const maxLogLines = 80;

/** The message of a container that ended. `file` is on the node's side. Empty when it said nothing. */
export async function readTerminationMessage(
  container: Container | undefined,
  state: ContainerState,
  file: string,
): Promise<string> {
  let message = "";
  try {
    message = await readEnd(file, maxMessageBytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      return `Error on reading termination log ${file}: ${(error as Error).message}`;
    }
  }
  const fallsBack = container?.terminationMessagePolicy === "FallbackToLogsOnError" && state.exitCode !== 0;
  if (message !== "" || !fallsBack) return message;
  // The message is empty where the log is gone, as upstream's.
  const log = await readEnd(state.spec.logPath, 4 * maxLogBytes + maxLogLines * 64).catch(() => "");
  return lastLogLines(log);
}

/** The last lines of a CRI log without their stamps. */
function lastLogLines(log: string): string {
  const lines = log.split("\n").filter((line) => line !== "");
  const texts = lines.slice(-maxLogLines).map((line) => {
    const [, , tag = "", ...words] = line.split(" ");
    return `${words.join(" ")}${tag.startsWith("P") ? "" : "\n"}`;
  });
  return Buffer.from(texts.join(""), "utf8").subarray(-maxLogBytes).toString("utf8");
}

async function readEnd(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, size - length);
    return buffer.toString("utf8");
  } finally {
    await file.close();
  }
}
