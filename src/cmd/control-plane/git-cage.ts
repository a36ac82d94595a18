/**
 * What is around Git, which reads what strangers push: namespaces of its own, in which it is a user who owns nothing but the one repository, without network unless it fetches, with
 * bounds on memory, time and files. It ends when this process ends. Without root only the bounds.
 */
import { chown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { CageOptions, EnclosedCommand, GitCage } from "#delivery/git/git-cage.ts";

/** Nobody else on the machine is this one; builds of functions begin above. */
const gitUser = 0x2f_0000;
const inside = "/mnt";
/** Of addresses: packs are mapped. */
const memoryKilobytes = 2 << 20;
const cpuSeconds = 600;
const largestFileBytes = 2 ** 31;

export function gitCage(): GitCage {
  const isRoot = process.geteuid?.() === 0;
  return {
    enclose: (command, options) => (isRoot ? asNobody(command, options) : asOurselves(command, options)),
    adopt: async (folder) => {
      if (isRoot) await giveAway(folder);
    },
  };
}

// The folder is bound while we are root: nobody could not reach it by its path.
function asNobody(command: readonly string[], options: CageOptions): EnclosedCommand {
  const { folder, hasNetwork } = options;
  const apart = ["--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child=KILL", ...(hasNetwork ? [] : ["--net"])];
  const nobody = `setpriv --reuid ${gitUser} --regid ${gitUser} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all`;
  const script = `mount --bind "$1" ${inside}; shift; cd ${inside}; ${bounds(options)}; exec ${nobody} "$@"`;
  return {
    command: ["setpriv", "--pdeathsig", "KILL", "unshare", ...apart, "sh", "-ec", script, "sh", folder, ...command],
    inside,
  };
}

function asOurselves(command: readonly string[], options: CageOptions): EnclosedCommand {
  return {
    command: ["setpriv", "--pdeathsig", "KILL", "sh", "-ec", `${bounds(options)}; exec "$@"`, "sh", ...command],
    inside: options.folder,
  };
}

// Files in blocks of 512 bytes, as `sh` counts them.
function bounds({ mostFileBytes = largestFileBytes }: CageOptions): string {
  const blocks = Math.ceil(mostFileBytes / 512);
  return `ulimit -c 0; ulimit -v ${memoryKilobytes}; ulimit -t ${cpuSeconds}; ulimit -f ${blocks}`;
}

async function giveAway(folder: string): Promise<void> {
  await chown(folder, gitUser, gitUser);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await lstat(path)).isDirectory()) await giveAway(path);
    else await chown(path, gitUser, gitUser);
  }
}
