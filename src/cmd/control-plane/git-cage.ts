/**
 * What is around Git, which reads what strangers push: namespaces of its own, in which it is a user who owns nothing but the one repository, without network unless it fetches, with
 * bounds on memory, time and files. It ends when this process ends. Without root only the bounds.
 */
import { chown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { EnclosedCommand, GitCage } from "#delivery/git/git-cage.ts";

/** Nobody else on the machine is this one; builds of functions begin above. */
const gitUser = 0x2f_0000;
const inside = "/mnt";
/** Kilobytes of addresses: packs are mapped. Seconds of CPU. Blocks of 512 bytes of one file. */
const bounds = "ulimit -c 0; ulimit -v 2097152; ulimit -t 600; ulimit -f 4194304";

export function gitCage(): GitCage {
  const isRoot = process.geteuid?.() === 0;
  return {
    enclose: (command, { folder, hasNetwork }) =>
      isRoot ? asNobody(command, folder, hasNetwork) : asOurselves(command, folder),
    adopt: async (folder) => {
      if (isRoot) await giveAway(folder);
    },
  };
}

// The folder is bound while we are root: nobody could not reach it by its path.
function asNobody(command: readonly string[], folder: string, hasNetwork: boolean): EnclosedCommand {
  const apart = ["--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child=KILL", ...(hasNetwork ? [] : ["--net"])];
  const nobody = `setpriv --reuid ${gitUser} --regid ${gitUser} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all`;
  const script = `mount --bind "$1" ${inside}; shift; cd ${inside}; ${bounds}; exec ${nobody} "$@"`;
  return {
    command: ["setpriv", "--pdeathsig", "KILL", "unshare", ...apart, "sh", "-ec", script, "sh", folder, ...command],
    inside,
  };
}

function asOurselves(command: readonly string[], folder: string): EnclosedCommand {
  return {
    command: ["setpriv", "--pdeathsig", "KILL", "sh", "-ec", `${bounds}; exec "$@"`, "sh", ...command],
    inside: folder,
  };
}

async function giveAway(folder: string): Promise<void> {
  await chown(folder, gitUser, gitUser);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await lstat(path)).isDirectory()) await giveAway(path);
    else await chown(path, gitUser, gitUser);
  }
}
