/**
 * Git's settings and environment: nothing of the machine's or a user's, nothing that runs something of a repository, and bounds on what one push can cost.
 */

/** Where hooks are, beside the repository: what is in the repository itself never runs. */
export const hooksFolder = "hooks";
export const repositoryFolder = "repo.git";

const settings: Readonly<Record<string, string>> = {
  "safe.directory": "*",
  "advice.detachedHead": "false",
  // What is broken, or has paths that lead elsewhere, does not come in.
  "transfer.fsckObjects": "true",
  "fetch.fsckObjects": "true",
  "receive.fsckObjects": "true",
  // Packs stay packs: their size on the disk is what was sent.
  "transfer.unpackLimit": "1",
  "receive.autogc": "false",
  "gc.auto": "0",
  "maintenance.auto": "false",
  "http.receivepack": "true",
  "transfer.hideRefs": "refs/nodeless",
  "uploadpack.allowFilter": "true",
  // A push is answered when it is on the disk.
  "core.fsync": "all",
  "core.bigFileThreshold": "8m",
  "core.packedGitLimit": "256m",
  "pack.threads": "1",
  "pack.windowMemory": "64m",
  "pack.deltaCacheSize": "32m",
  "protocol.allow": "never",
  "protocol.https.allow": "always",
  "protocol.http.allow": "always",
  "protocol.git.allow": "always",
  "protocol.ssh.allow": "always",
  "core.symlinks": "false",
};

/** The environment of any Git command. `inside` is its folder as it sees it. */
export function gitEnvironment(
  inside: string,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const all = Object.entries({ ...settings, "core.hooksPath": `${inside}/${hooksFolder}`, ...more });
  return {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
    HOME: "/nonexistent",
    LANG: "C.UTF-8",
    GIT_DIR: `${inside}/${repositoryFolder}`,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
    GIT_CONFIG_COUNT: String(all.length),
    ...Object.fromEntries(
      all.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}
