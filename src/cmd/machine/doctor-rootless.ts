/**
 * `nodeless doctor` for who is not root: what his clusters can do here, and what only root's can.
 */
import type { Finding } from "#cli/machine.ts";
import { firstUnprivilegedPort } from "#linux/unprivileged-ports.ts";
import { probeUserNamespaces } from "#runtime/rootless/user-namespaces.ts";
import { isolates, memory } from "./doctor.ts";
import { searchPath } from "./node-plan.ts";

/** Examines the machine as this user finds it. */
export async function examineWithoutRoot(): Promise<readonly Finding[]> {
  return [
    { topic: "node", state: "ok", detail: process.version },
    {
      topic: "root",
      state: "limited",
      detail: "without root pods run as isolates only, on addresses of 127.0.0.0/8",
      advice: "start nodeless with sudo to have containers",
    },
    await isolates(),
    await cages(),
    ports(),
    {
      topic: "limits",
      state: "limited",
      detail: "memory limits are watched over; those on CPU are not enforced without control groups",
    },
    memory(),
  ];
}

async function cages(): Promise<Finding> {
  const topic = "cages";
  const support = await probeUserNamespaces(searchPath);
  if ("prefix" in support)
    return { topic, state: "ok", detail: "user namespaces: isolates see no files and no processes of this machine" };
  return {
    topic,
    state: "limited",
    detail: `${support.why}: isolates are held by seccomp and, where the kernel has it, Landlock only`,
    advice:
      "sudo sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0, where these settings exist",
  };
}

function ports(): Finding {
  const first = firstUnprivilegedPort();
  const topic = "ports";
  if (first <= 53)
    return { topic, state: "ok", detail: `Services can have any port from ${first} on, DNS answers at port 53` };
  return {
    topic,
    state: "limited",
    detail: `Services have no ports below ${first}, and DNS answers at another port than 53`,
    advice: "sudo sysctl net.ipv4.ip_unprivileged_port_start=0",
  };
}
