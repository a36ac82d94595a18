/**
 * Finds upstream's Go modules on this machine, or has `go mod download` fetch them through the module proxy.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** The release that the facts are taken from. */
export const kubernetesVersion = "1.36.3";

/** Folder of a module of that release: `k8s.io/api` and the other staging modules carry v0, `k8s.io/kubernetes` v1. */
export function moduleFolder(module: string): string {
  const major = module === "k8s.io/kubernetes" ? "v" : "v0.";
  const version = major + (major === "v" ? kubernetesVersion : kubernetesVersion.replace(/^1\./, ""));
  const cached = join(goModCache(), `${module}@${version}`);
  if (existsSync(cached)) return cached;
  const answer = execFileSync("go", ["mod", "download", "-json", `${module}@${version}`], { cwd: tmpdir() });
  const { Dir: folder } = JSON.parse(answer.toString()) as { readonly Dir: string };
  return folder;
}

/** Folder of a package, found by its import path; undefined for packages outside the modules that hold API types. */
export function packageFolder(importPath: string): string | undefined {
  const modules = ["k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator"];
  const module = modules.find((candidate) => importPath.startsWith(`${candidate}/`));
  if (module === undefined) return undefined;
  return join(moduleFolder(module), importPath.slice(module.length + 1));
}

function goModCache(): string {
  return process.env["GOMODCACHE"] ?? join(process.env["GOPATH"] ?? join(homedir(), "go"), "pkg/mod");
}
