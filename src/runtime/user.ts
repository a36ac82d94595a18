/**
 * Who a container's process is: what was asked for, else what the image says, looked up in the image's own /etc/passwd and /etc/group.
 */
import { readInRoot } from "./rooted-path.ts";
import { RuntimeFailure, type SecuritySettings } from "./settings.ts";

/** As the OCI specification's process.user. */
export type ProcessUser = { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };

type PasswdEntry = { readonly name: string; readonly uid: number; readonly gid: number };
type GroupEntry = { readonly name: string; readonly gid: number; readonly members: readonly string[] };

/** Finds the user. `imageUser` is as in the image: "", "1000", "www-data", "1000:1000". Throws {@link RuntimeFailure} for a name that the image does not have. */
export function resolveUser(root: string, imageUser: string, security: SecuritySettings): ProcessUser {
  const [wantedUser = "", wantedGroup = ""] = imageUser.split(":");
  const passwd = parsePasswd(readInRoot(root, "/etc/passwd"));
  const groups = parseGroup(readInRoot(root, "/etc/group"));
  const asked = security.runAsUser === undefined ? wantedUser : String(security.runAsUser);
  const entry = findUser(passwd, asked);
  const uid = entry?.uid ?? Number(asked || 0);
  // The image's group goes with the image's user only.
  const imageGroup = security.runAsUser === undefined ? wantedGroup : "";
  const gid = security.runAsGroup ?? findGroup(groups, imageGroup) ?? entry?.gid ?? 0;
  const own = entry ? groups.filter((group) => group.members.includes(entry.name)).map((group) => group.gid) : [];
  const merged = security.supplementalGroupsPolicy === "Strict" ? [] : own;
  const additionalGids = [...new Set([gid, ...merged, ...security.supplementalGroups])];
  return { uid, gid, additionalGids };
}

/** Refuses uid 0 where that was asked for. The messages are the kubelet's, `about` being its "(pod: …, container: …)". */
export function verifyNonRoot(user: ProcessUser, imageUser: string, security: SecuritySettings, about: string): void {
  if (!security.runAsNonRoot) return;
  if (security.runAsUser !== undefined) {
    if (security.runAsUser !== 0) return;
    throw new RuntimeFailure("configuration", `container's runAsUser breaks non-root policy ${about}`);
  }
  const name = imageUser.split(":")[0] ?? "";
  if (name !== "" && !/^\d+$/.test(name)) {
    const message = `container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root ${about}`;
    throw new RuntimeFailure("configuration", message);
  }
  if (user.uid === 0)
    throw new RuntimeFailure("configuration", `container has runAsNonRoot and image will run as root ${about}`);
}

function findUser(passwd: readonly PasswdEntry[], name: string): PasswdEntry | undefined {
  if (name === "") return passwd.find((entry) => entry.uid === 0);
  if (/^\d+$/.test(name)) return passwd.find((entry) => entry.uid === Number(name));
  const entry = passwd.find((candidate) => candidate.name === name);
  if (!entry) throw new RuntimeFailure("create", `unable to find user ${name}: no matching entries in passwd file`);
  return entry;
}

function findGroup(groups: readonly GroupEntry[], name: string): number | undefined {
  if (name === "") return undefined;
  if (/^\d+$/.test(name)) return Number(name);
  const entry = groups.find((candidate) => candidate.name === name);
  if (!entry) throw new RuntimeFailure("create", `unable to find group ${name}: no matching entries in group file`);
  return entry.gid;
}

function parsePasswd(text: string): PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = ""] = line.split(":");
    return name !== "" && /^\d+$/.test(uid) ? [{ name, uid: Number(uid), gid: Number(gid) || 0 }] : [];
  });
}

function parseGroup(text: string): GroupEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.split(":");
    return name !== "" && /^\d+$/.test(gid)
      ? [{ name, gid: Number(gid), members: members.split(",").filter(Boolean) }]
      : [];
  });
}
