/**
 * The Go programs of test/clients/go, built when they are first wanted: client-go and controller-runtime are what most people's own programs are made of.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { writeLayout } from "#images/layout-writer.ts";
import { findProgram } from "#runtime/machine.ts";

const root = resolve(import.meta.dirname, "../..");
const source = join(root, "test/clients/go");
/** Fetching and compiling all of it on a fresh machine takes minutes. */
const buildTimeoutMs = 600_000;

/** Paths of the programs, or why there are none on this machine. */
export type GoPrograms =
  | { readonly client: string; readonly operator: string; readonly missing?: undefined }
  | { readonly missing: string };

/** Builds them; what did not change comes out of Go's own cache. Throws when they do not compile. */
export function buildGoPrograms(): GoPrograms {
  const go = findProgram("go", `${process.env["PATH"] ?? ""}:/usr/local/go/bin`);
  if (go === undefined) return { missing: "go is not installed" };
  const folder = join(root, ".cache/go-clients");
  mkdirSync(folder, { recursive: true });
  const environment = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
  const { status, stderr, error } = spawnSync(
    go,
    ["build", "-trimpath", "-ldflags=-s -w", "-o", `${folder}/`, "./..."],
    {
      cwd: source,
      env: environment,
      encoding: "utf8",
      timeout: buildTimeoutMs,
    },
  );
  if (status === 0) return { client: join(folder, "client"), operator: join(folder, "operator") };
  const why = error?.message ?? stderr.trim().split("\n").slice(-3).join(" ");
  // A machine without a network, or with an older Go, cannot have them.
  if (error !== undefined || /dial tcp|lookup |proxy|go.mod requires go|timeout/i.test(why)) {
    return { missing: `go could not build test/clients/go: ${why.slice(0, 200)}` };
  }
  throw new Error(`test/clients/go does not compile:\n${stderr}`);
}

/** An OCI layout with nothing in it but the program. The caller removes the folder. */
export async function layoutOf(name: string, program: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "go-image-"));
  const rootFolder = join(folder, "root");
  mkdirSync(join(rootFolder, "tmp"), { recursive: true });
  chmodSync(join(rootFolder, "tmp"), 0o1777);
  copyFileSync(program, join(rootFolder, "program"));
  chmodSync(join(rootFolder, "program"), 0o755);
  const layout = join(folder, "layout");
  await writeLayout(layout, { name, layers: [rootFolder], config: { Entrypoint: ["/program"], User: "65532:65532" } });
  rmSync(rootFolder, { recursive: true });
  return layout;
}
