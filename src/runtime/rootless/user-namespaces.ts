/**
 * Whether who is not root may make namespaces here. Distributions forbid it in several ways, so it is tried.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findProgram } from "#runtime/machine.ts";

/** How namespaces are made here: the words before a program that is to be root in its own; or why they cannot be. */
export type NamespaceSupport = { readonly prefix: readonly string[] } | { readonly why: string };

const ownNamespaces = ["--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts"];

/** Tries it: a namespace in which nothing can be mounted is of no use. */
export async function probeUserNamespaces(searchPath: string): Promise<NamespaceSupport> {
  const unshare = findProgram("unshare", searchPath);
  if (unshare === undefined) return { why: "unshare is not installed (Debian package util-linux)" };
  const words = [...ownNamespaces, "--fork", "--kill-child", "--"];
  try {
    const trial = [...words, "mount", "-t", "tmpfs", "tmpfs", "/tmp"];
    await promisify(execFile)(unshare, trial, { env: { PATH: searchPath }, timeout: 10_000 });
    return { prefix: [unshare, ...words] };
  } catch (error) {
    const { stderr = "", message } = error as { readonly stderr?: string; readonly message: string };
    return { why: `this machine forbids user namespaces (${stderr.trim() || message})` };
  }
}
