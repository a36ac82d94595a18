/**
 * workerd on this machine: its program, from the npm package of the platform, and the libraries that it needs. The libraries are those that this very process has mapped:
 * Node needs them too, so they are there and fit each other.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { ContainerError } from "#kubelet/container-runtime.ts";

/** Where things are on the machine. */
export type WorkerdProgram = {
  readonly path: string;
  /** Newest date whose behaviour it knows: "2026-10-23". */
  readonly compatibilityDate: string;
  /** Files that the kernel and the dynamic linker look for, by where they look. */
  readonly libraries: readonly { readonly hostPath: string; readonly containerPath: string }[];
};

const packages: Readonly<Record<string, string>> = { x64: "workerd-linux-64", arm64: "workerd-linux-arm64" };
const linkers: Readonly<Record<string, string>> = {
  x64: "/lib64/ld-linux-x86-64.so.2",
  arm64: "/lib/ld-linux-aarch64.so.1",
};

/** Finds it. Throws {@link ContainerError} where there is none for this machine. */
export function findWorkerd(): WorkerdProgram {
  const name = packages[process.arch];
  const linker = linkers[process.arch];
  if (name === undefined || linker === undefined) throw missing(`workerd does not run on ${process.arch}`);
  const file = packageFile(`@cloudflare/${name}`);
  return {
    path: join(dirname(file), "bin/workerd"),
    compatibilityDate: dateOf(JSON.parse(readFileSync(file, "utf8")) as { version: string }),
    libraries: [
      { hostPath: mapped(basename(linker)), containerPath: linker },
      ...["libc.so.6", "libm.so.6"].map((library) => ({ hostPath: mapped(library), containerPath: `/lib/${library}` })),
    ],
  };
}

function packageFile(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(`${name}/package.json`);
  } catch (cause) {
    throw missing(`the package ${name} is not installed`, cause);
  }
}

// Versions are 1.YYYYMMDD.N.
function dateOf({ version }: { readonly version: string }): string {
  const [, year, month, day] = /^1\.(\d{4})(\d\d)(\d\d)\./.exec(version) ?? [];
  if (day === undefined) throw missing(`the version of workerd is not understood: ${version}`);
  return `${year}-${month}-${day}`;
}

function mapped(library: string): string {
  const line = readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .find((candidate) => candidate.endsWith(`/${library}`));
  if (line === undefined) throw missing(`${library} was not found; workerd needs the GNU C library`);
  return line.slice(line.indexOf("/"));
}

function missing(why: string, cause?: unknown): ContainerError {
  return new ContainerError("CreatePodSandboxError", `isolates cannot run on this machine: ${why}`, { cause });
}
