/**
 * Reading and writing of control group files, where a missing file is an answer and not an error.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The file's text, or undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Writes a value; false where the machine does not have the file. */
export function writeIfThere(path: string, value: string | number): boolean {
  try {
    writeFileSync(path, String(value), { flag: "r+" });
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** As {@link writeIfThere}, for what the kernel takes its time to do. */
export async function writeBesideIfThere(path: string, value: string | number): Promise<boolean> {
  try {
    await writeFile(path, String(value), { flag: "r+" });
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** The number after a word in a file of "word number" lines. */
export function numberAfter(text: string | undefined, word: string): number {
  const line = text?.split("\n").find((candidate) => candidate.startsWith(`${word} `));
  return line === undefined ? 0 : Number(line.slice(word.length + 1));
}

export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true });
}

/** Process numbers in a group's folder and all folders below. */
export function processesBelow(folder: string): number[] {
  const own = readIfThere(join(folder, "cgroup.procs"))?.split("\n").filter(Boolean).map(Number) ?? [];
  return [...own, ...childFolders(folder).flatMap(processesBelow)];
}

/** Removes a group's folder and those below; false when one is busy. */
export function removeFolders(folder: string): boolean {
  const childrenGone = childFolders(folder).map(removeFolders).every(Boolean);
  try {
    rmdirSync(folder);
    return childrenGone;
  } catch (error) {
    if (isGone(error)) return true;
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}

function childFolders(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENODEV", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? "");
}
