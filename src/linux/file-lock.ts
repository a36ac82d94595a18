/**
 * A lock that one process of the machine holds at a time. The kernel keeps it (flock on an open file), so it ends with its holder however that ends: nothing has to be cleaned up.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { loadLibc } from "./libc.ts";

/** A lock that is held. */
export type FileLock = {
  /** Gives it back and removes its file. */
  readonly release: () => void;
};

/** How to wait. */
export type LockOptions = {
  /** Called once when somebody else has the lock, with the number of that process where it is known. */
  readonly onWait?: (holder: number | undefined) => void;
};

// Short against what is done under such locks; flock(2) that waits would hold a thread and could not be given up.
const retryMs = 10;

/** Waits for the lock on `path`, a file that is made for it. */
export async function lockFile(path: string, options: LockOptions = {}): Promise<FileLock> {
  const libc = await loadLibc();
  let [isTold, misses] = [false, 0];
  for (;;) {
    const file = openLockFile(path);
    if (file === undefined) continue;
    if (libc.tryLock(file)) {
      if (isStill(path, file)) return held(path, file);
      closeSync(file); // its last holder removed it between our two calls
      continue;
    }
    closeSync(file);
    if (!isTold) {
      const holder = readHolder(path);
      // A holder that is not known wrote its number a moment too late for us: look once more.
      isTold = holder !== undefined || misses > 0;
      if (isTold) options.onWait?.(holder);
    }
    misses += 1;
    await sleep(retryMs);
  }
}

/** Undefined when somebody removed the folder just now. */
function openLockFile(path: string): number | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  try {
    return openSync(path, "a+", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function held(path: string, file: number): FileLock {
  writeSync(file, `${process.pid}\n`);
  return {
    release() {
      rmSync(path, { force: true });
      closeSync(file);
    },
  };
}

function isStill(path: string, file: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  return there !== undefined && there.ino === fstatSync(file).ino;
}

function readHolder(path: string): number | undefined {
  try {
    // A holder that was killed leaves its line.
    const pid = Number(readFileSync(path, "utf8").trim().split("\n").at(-1));
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined; // given back meanwhile
  }
}
